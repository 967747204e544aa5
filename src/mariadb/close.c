/* Whether a session lives, and how it ends. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ending.h"
#include "helper.h"
#include "os/socket.h"

/* What libmariadb has read ahead and nobody has asked for yet. */
bool mp_session_has_cached(const mp_session *session) {
  const MARIADB_PVIO *pvio = session->mysql->net.pvio;
  return pvio->cache && pvio->cache_pos < pvio->cache + pvio->cache_size;
}

/* Whether libmariadb holds the whole of the packet that it reads next: then a call cannot block. A
   packet is three bytes of length, one of a number, and so many more (MariaDB knowledge base,
   "Protocol Overview"). */
bool mp_session_has_packet(const mp_session *session) {
  const MARIADB_PVIO *pvio = session->mysql->net.pvio;
  if (!pvio || !pvio->cache || !pvio->cache_pos || session->mysql->net.compress)
    return false;
  const unsigned char *at = pvio->cache_pos, *end = pvio->cache + pvio->cache_size;
  if (end < at + 4)
    return false;
  return (size_t)(end - at) - 4 >= ((size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16);
}

/* After the rows come a short packet that begins with 0xFE, or an error, which begins with 0xFF (MariaDB
   knowledge base, "Result Set Packets"); a row may begin like that too. */
bool mp_session_has_row(const mp_session *session) {
  return !session->cont && mp_session_has_packet(session) && session->mysql->net.pvio->cache_pos[4] < 0xFE;
}

/* Whether something has come that nobody asked for, the end of the connection apart. */
bool mp_session_has_more(const mp_session *session) {
  return mp_session_has_cached(session) ||
         mp_socket_look(mysql_get_socket(session->mysql)) == MP_SOCKET_READABLE;
}

/* With no reply owed, anything to read is the server's farewell. */
mp_liveness mp_session_peek(mp_session *session) {
  if (session->fork_generation != mp_fork_generation() || !session->mysql || !session->mysql->net.pvio)
    return MP_DEAD;
  mp_socket_state state = mp_socket_look(mysql_get_socket(session->mysql));
  if (state == MP_SOCKET_CLOSING || state == MP_SOCKET_BROKEN)
    return MP_DEAD;
  if (state == MP_SOCKET_QUIET && !mp_session_has_cached(session))
    return MP_QUIET;
  return session->owed > 0 ? MP_READY : MP_DEAD;
}

/* A unix socket has no network behind which the server could be gone already (measured: a send after
   a timeout of the server, a KILL, a restart and a crash fails with 2006). What has been read ahead and
   nobody asked for the look finds, not the send. */
bool mp_session_send_tells(const mp_session *session) {
  return session->driver->server.socket != NULL && session->fork_generation == mp_fork_generation() &&
         !mp_session_has_cached(session);
}

/* No statement is unfinished; the replies to a reset may be on their way. */
static bool is_between_statements(const mp_session *session) {
  return !session->cont && !session->result && !session->executing &&
         session->mysql->status == MYSQL_STATUS_READY && !mysql_more_results(session->mysql) &&
         session->fork_generation == mp_fork_generation();
}

bool mp_session_at_rest(const mp_session *session) {
  return is_between_statements(session) && session->owed == 0;
}

/* ---- the end ----
   A server counts each connection that ends without COM_QUIT, and warns of it in its log. So does one
   whose COM_QUIT is followed by a RST, which is what closing a socket over unread bytes comes to, and what
   answers those that arrive later. */

/* Behind an unfinished exchange it would be of no use, and where there is no room it would block. */
static bool may_say_quit(const mp_session *session) {
  return session->mysql->net.pvio && is_between_statements(session) && session->unsent == 0 &&
         mp_socket_has_room(mysql_get_socket(session->mysql));
}

static void say_quit(MYSQL *mysql) {
  mysql->methods->db_command(mysql, COM_QUIT, NULL, 0, 1, NULL);
}

void mp_session_abort(mp_session *session) {
  MYSQL *mysql = session->mysql;
  if (!mysql || !mysql->net.pvio || session->fork_generation != mp_fork_generation())
    return;
  if (session->owed == 0 && may_say_quit(session))
    say_quit(mysql);
  if (mysql->net.pvio)
    shutdown(mysql_get_socket(mysql), SHUT_RDWR);
}

void mp_session_take_leave(mp_session *session) {
  if (session->helper || !session->mysql || !may_say_quit(session))
    return;
  mp_socket_drain(mysql_get_socket(session->mysql));
  mp_leaving_add(session);
  say_quit(session->mysql);
}

/* Puts a dead end in the place of the socket, so that the farewell of mysql_close reaches
   nobody: not the parent's server. */
static void detach_socket(MYSQL *mysql) {
  if (mysql->net.pvio)
    mp_socket_replace(mysql_get_socket(mysql));
}

/* mysql_close says COM_QUIT. */
static void say_goodbye(mp_session *session) {
  if (session->fork_generation != mp_fork_generation())
    detach_socket(session->mysql);
  else if (may_say_quit(session))
    mp_socket_drain(mysql_get_socket(session->mysql));
  else
    mp_session_abort(session);
  if (session->fork_generation == mp_fork_generation() && !session->stop_with)
    mp_leaving_add(session);
}

/* Freeing an unfinished result would read the rest of it. */
static void drop_result(mp_session *session) {
  session->mysql->status = MYSQL_STATUS_READY;
  mysql_free_result(session->result);
}

/* Leaves no trace in freed memory. */
void mp_password_free(mp_session *session) {
  if (session->password)
    explicit_bzero(session->password, strlen(session->password));
  free(session->password);
  session->password = NULL;
}

/* What comes after the end of the program finds OpenSSL gone, and frees in vain. */
void mp_session_close(mp_session *session) {
  if (session->helper)
    mp_helper_stop(session);
  mp_ending_leave(session);
  mp_pollsets_give(session->driver->pollsets, session->pollset); /* while its socket has its number */
  if (session->mysql && !mp_program_has_ended()) {
    say_goodbye(session);
    drop_result(session);
    mp_prepared_end(session);
    mysql_close(session->mysql);
  }
  mp_leaving_drop(&session->leaving);
  mp_baseline_free(&session->base);
  mp_buffer_free(&session->flight);
  mp_password_free(session);
  free(session->address);
  free(session);
}
