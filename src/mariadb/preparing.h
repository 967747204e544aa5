/* A look into replies about prepared statements, which libmariadb believes whatever they say. */
#ifndef MYPOOL_MARIADB_PREPARING_H
#define MYPOOL_MARIADB_PREPARING_H

#include "session.h"

void mp_preparing_begin(mp_session *session); /* before it is sent */

/* When it has been read: false when it was damaged. */
bool mp_preparing_is_undamaged(const mp_session *session, const MYSQL_STMT *stmt);

#endif
