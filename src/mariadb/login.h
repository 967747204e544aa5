/* From nothing to a session that is logged in. Blocks until the deadline at most. */
#ifndef MYPOOL_MARIADB_LOGIN_H
#define MYPOOL_MARIADB_LOGIN_H

#include "session.h"

mp_status mp_login(mp_session *session, int64_t deadline_ns, mp_error *err);

/* A session that is to be logged in for the sake of this one, with the same password. NULL: no memory. */
mp_session *mp_login_new(mp_session *served);

/* Asks the program, in its own thread. */
mp_status mp_login_ask_password(mp_session *session, mp_error *err);
void mp_login_drop_password(mp_session *session);

#endif
