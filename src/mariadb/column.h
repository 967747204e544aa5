/* The types of a column, as the server describes it. */
#ifndef MYPOOL_MARIADB_COLUMN_H
#define MYPOOL_MARIADB_COLUMN_H

#include "session.h"

mp_column mp_column_of(const MYSQL_FIELD *field);

#endif
