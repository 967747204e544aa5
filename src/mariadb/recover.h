/* A session whose caller's time is up: its statement is stopped, its replies are read, and it is reset. */
#ifndef MYPOOL_MARIADB_RECOVER_H
#define MYPOOL_MARIADB_RECOVER_H

#include "session.h"

/* See driver.h. */
mp_status mp_session_recover(mp_session *session, mp_error *err);

#endif
