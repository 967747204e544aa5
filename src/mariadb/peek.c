/* Tells whether a session is alive, and whether it is at rest. */
#include "peek.h"

#include "call.h"
#include "os/socket.h"
#include "prepared.h"
#include "reset.h"

bool mp_session_has_more(const mp_session *session) {
  return mp_call_has_cached(session) ||
         mp_socket_look(mysql_get_socket(session->mysql)) == MP_SOCKET_READABLE;
}

/* With no reply pending, anything to read is the server's farewell. */
mp_liveness mp_session_peek(mp_session *session) {
  if (session->fork_generation != mp_fork_generation() || !session->mysql || !session->mysql->net.pvio)
    return MP_DEAD;
  mp_socket_state state = mp_socket_look(mysql_get_socket(session->mysql));
  if (state == MP_SOCKET_CLOSING || state == MP_SOCKET_BROKEN)
    return MP_DEAD;
  if (state == MP_SOCKET_QUIET && !mp_call_has_cached(session))
    return MP_QUIET;
  return mp_reset_is_pending(session) ? MP_READY : MP_DEAD;
}

/* A unix socket has no network behind which the server could be gone already (measured: a send after a
   timeout of the server, a KILL, a restart and a crash fails with 2006). Bytes that were read ahead and that
   nobody asked for only a look finds. */
bool mp_session_needs_peek(const mp_session *session) {
  return session->address.socket == NULL || session->fork_generation != mp_fork_generation() ||
         mp_call_has_cached(session);
}

bool mp_session_is_between_statements(const mp_session *session) {
  return !mp_call_is_in_progress(session) && !session->result && !mp_prepared_is_executing(session) &&
         session->mysql->status == MYSQL_STATUS_READY && !mysql_more_results(session->mysql) &&
         session->fork_generation == mp_fork_generation();
}

bool mp_session_is_at_rest(const mp_session *session) {
  return mp_session_is_between_statements(session) && !mp_reset_is_pending(session);
}

/* A reset that was sent with a statement after which the session is in a transaction came too early, or too
   late: it would break a prepared XA transaction, unless the session ends. A failure tells no status: then
   that from before counts. */
bool mp_session_is_being_reset(const mp_session *session) {
  return mp_session_is_between_statements(session) && mp_reset_is_pending(session) &&
         !(session->mysql->server_status & SERVER_STATUS_IN_TRANS);
}
