/* The scanner for other marks than placeholders. */
#ifndef MYPOOL_MARIADB_SCAN_H
#define MYPOOL_MARIADB_SCAN_H

#include "mypool.h"

/* The next `wanted` that is neither quoted nor in a comment; NULL after the last. */
const char *mp_scanner_find(mp_scanner *scanner, char wanted);

/* Moves past white space and comments that hold no SQL. */
void mp_scanner_skip_blank(mp_scanner *scanner);

/* Whether the statement ends the transaction by undoing it: ROLLBACK, but not to a savepoint. */
bool mp_sql_is_rollback(const char *sql, size_t length);

#endif
