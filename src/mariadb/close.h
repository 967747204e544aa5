/* A session's end, and connections that the server still counts after it. */
#ifndef MYPOOL_MARIADB_CLOSE_H
#define MYPOOL_MARIADB_CLOSE_H

#include "session.h"

void mp_session_abort(mp_session *session);
void mp_session_quit(mp_session *session); /* when it will not be used again, and not be closed */
void mp_session_close(mp_session *session);

/* The session is to take the place of one that was; `await` blocks until that is gone. */
void mp_closing_take(mp_session *session);
void mp_closing_await(mp_session *session);
void mp_closing_free(mariadb_driver *driver); /* blocks while a server still has to read a farewell */

#endif
