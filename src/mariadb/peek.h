/* Tells whether a session is alive, and whether it is at rest. No function waits. */
#ifndef MYPOOL_MARIADB_PEEK_H
#define MYPOOL_MARIADB_PEEK_H

#include "session.h"

mp_liveness mp_session_peek(mp_session *session);
bool mp_session_needs_peek(const mp_session *session);

/* Something has come that nobody asked for, the end of the connection apart. */
bool mp_session_has_more(const mp_session *session);

/* No statement is unfinished. At rest it is when the replies to a reset have been read as well. */
bool mp_session_is_between_statements(const mp_session *session);
bool mp_session_is_at_rest(const mp_session *session);

/* Nothing is to come but the replies to a reset, which has undone all that the session did before. */
bool mp_session_is_being_reset(const mp_session *session);

#endif
