/* A second connection to the server of a session, and to its statement there. */
#ifndef MYPOOL_MARIADB_SIDE_H
#define MYPOOL_MARIADB_SIDE_H

#include "session.h"

mp_session *mp_side_open(mp_session *session, int64_t deadline_ns, mp_error *err);

enum { KILL_SIZE = 48 };

/* Writes the statement that makes the server stop the session's one; "" when none runs. Fails unless what
   runs is proven to be the session's. */
mp_status mp_side_find(mp_session *side, const mp_session *session, int64_t deadline_ns, char kill[KILL_SIZE],
                       mp_error *err);

#endif
