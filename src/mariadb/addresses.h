/* The addresses of a host. */
#ifndef MYPOOL_MARIADB_ADDRESSES_H
#define MYPOOL_MARIADB_ADDRESSES_H

#include "session.h"

/* Logs in at the first of them that does it. */
mp_status mp_addresses_login(mp_session *session, int64_t deadline_ns, mp_error *err);

#endif
