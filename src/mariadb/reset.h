/* The reset: the flight is sent at release, and its replies are read at the next checkout. See driver.h. */
#ifndef MYPOOL_MARIADB_RESET_H
#define MYPOOL_MARIADB_RESET_H

#include "session.h"

mp_status mp_reset_send(mp_session *session, mp_error *err);
mp_status mp_reset_read(mp_session *session, mp_error *err);

#endif
