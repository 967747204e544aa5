/* Rows of the binary protocol. */
#ifndef MYPOOL_MARIADB_BINARY_H
#define MYPOOL_MARIADB_BINARY_H

#include "session.h"

/* Finds the values of the row, for the binds, as libmariadb does itself; but it looks for each behind as many
   bytes as the one before claims to have, wherever that is. */
void mp_binary_locate(MYSQL_STMT *stmt, unsigned char *row);

/* Makes the row that libmariadb has just read values of the statement; false when it is none. */
bool mp_binary_decode(prepared *statement);
size_t mp_binary_scratch(unsigned columns); /* bytes that it needs for dates and times */

#endif
