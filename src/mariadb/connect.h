/* From nothing to a session at its baseline, in place or on a helper thread. */
#ifndef MYPOOL_MARIADB_CONNECT_H
#define MYPOOL_MARIADB_CONNECT_H

#include "session.h"

/* See driver.h. */
mp_status mp_session_open(mp_driver *driver, unsigned host, bool beside, int64_t deadline_ns,
                          mp_session **out, mp_error *err);
int64_t mp_session_connect_ns(const mp_session *session);

#endif
