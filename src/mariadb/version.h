/* The server's version. */
#ifndef MYPOOL_MARIADB_VERSION_H
#define MYPOOL_MARIADB_VERSION_H

#include "session.h"

/* 101119 is 10.11.19; 0 for what is no version. */
unsigned mp_server_version(const MYSQL *mysql);

#endif
