/* Rows of the binary protocol. */
#ifndef MYPOOL_MARIADB_BINARY_H
#define MYPOOL_MARIADB_BINARY_H

#include "session.h"

/* Makes the row that libmariadb has just read values of the statement; false when it is none. */
bool mp_binary_decode(prepared *statement);
size_t mp_binary_scratch(unsigned columns); /* bytes that it needs for dates and times */

#endif
