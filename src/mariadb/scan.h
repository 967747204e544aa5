/* The scanner for other marks than placeholders. */
#ifndef MYPOOL_MARIADB_SCAN_H
#define MYPOOL_MARIADB_SCAN_H

#include "mypool.h"

/* The next `wanted` that is neither quoted nor in a comment; NULL after the last. */
const char *mp_scanner_find(mp_scanner *scanner, char wanted);

/* As mp_sql_reads_alike, for each `wanted`. */
bool mp_scanner_reads_alike(const char *sql, size_t length, const mp_sql_mode *mode, char wanted);

/* Moves past white space and comments that hold no SQL. */
void mp_scanner_skip_blank(mp_scanner *scanner);

/* Past a word, a number, something quoted or a sign. Returns the length of a word or number, else 0. */
size_t mp_scanner_skip_token(mp_scanner *scanner);

/* What a statement leaves behind when it fails, and what it does to a transaction when it does not. */
typedef enum mp_sql_effect {
  MP_EFFECT_PARTIAL, /* a part of it may stay, and it may end a transaction: CALL, DDL, compound statements */
  MP_EFFECT_WHOLE,   /* the server undoes all of it */
  MP_EFFECT_ENDS,    /* the same; it ends the transaction that is open: COMMIT, START TRANSACTION, BEGIN */
  MP_EFFECT_ROLLBACK /* the same; it undoes that: ROLLBACK, but not to a savepoint */
} mp_sql_effect;
mp_sql_effect mp_sql_effect_of(const char *sql, size_t length);

/* Copies the first word in capitals, as much of it as there is room for, and a NUL byte. */
void mp_sql_first_word(const char *sql, size_t length, char *word, size_t size);

#endif
