/* A session's end, and connections that the server still counts after it. */
#include "close.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flight.h"
#include "helper.h"
#include "login.h"
#include "os/socket.h"
#include "peek.h"
#include "prepared.h"
#include "program.h"
#include "reset.h"

/* ---- as the server sees it ----
   A server counts a connection somewhat longer than its client does. So that a pool never has more sessions
   there than max_size, not even while it replaces one, each new connection first sees one old one go. */

/* A server that is stopped, or far away, must not keep a new connection waiting. */
static const int64_t longest_wait_ns = 100 * MP_MILLISECOND;

/* A server may take so long over what it was sent before its farewell: until it has read that, the socket has
   to stay open. */
static const int64_t farewell_ns = 300 * MP_MILLISECOND;

/* After a KILL the socket ends first, and then the server begins to take the session down. */
static const int64_t take_down_ns = 30 * MP_MILLISECOND;

static void take_out(mariadb_driver *driver, size_t index) {
  driver->closing_count--;
  for (size_t i = index; i < driver->closing_count; i++)
    driver->closing[i] = driver->closing[i + 1];
}

static int until_ms(int64_t time_ns) {
  int64_t left_ns = time_ns - mp_clock_ns();
  return left_ns > 0 ? (int)((left_ns + MP_MILLISECOND - 1) / MP_MILLISECOND) : 0;
}

static bool is_old(const mp_closing *closing) {
  return mp_clock_ns() - closing->since_ns > (closing->answer_pending ? farewell_ns : longest_wait_ns);
}

static void drop(mp_closing *closing) {
  if (closing->fd >= 0)
    close(closing->fd);
  closing->fd = -1;
}

/* Connections that ended a while ago, and that no new one has waited for. */
static void drop_old(mariadb_driver *driver) {
  while (driver->closing_count > 0 && is_old(&driver->closing[0])) {
    drop(&driver->closing[0]);
    take_out(driver, 0);
  }
}

static bool grow(mariadb_driver *driver) {
  size_t capacity = driver->closing_capacity ? driver->closing_capacity * 2 : 8;
  mp_closing *closing = realloc(driver->closing, capacity * sizeof *closing);
  if (!closing)
    return false;
  driver->closing = closing;
  driver->closing_capacity = capacity;
  return true;
}

/* The server, not this side, ended the connection: libmariadb may have closed its socket already. */
static bool was_cut(const mp_session *session, int fd) {
  return fd < 0 || mysql_errno(session->mysql) != 0 || mp_socket_await_end(fd, 0, -1);
}

static void closing_add(mp_session *session) {
  mariadb_driver *driver = session->driver;
  drop_old(driver);
  if (mysql_thread_id(session->mysql) == 0 || driver->no_more_sessions)
    return; /* it never was one, or nobody is to take its place */
  if (driver->closing_count == driver->closing_capacity && !grow(driver))
    return;
  mp_closing *closing = &driver->closing[driver->closing_count++];
  *closing = (mp_closing){.host = session->host,
                          .fd = -1,
                          .since_ns = mp_clock_ns(),
                          .answer_pending = mp_reset_is_pending(session)};
  if (session->mysql->net.pvio)
    closing->fd = mp_socket_duplicate(mysql_get_socket(session->mysql));
  closing->until_ns = closing->since_ns + (was_cut(session, closing->fd) ? take_down_ns : 0);
}

void mp_closing_take(mp_session *session) {
  mariadb_driver *driver = session->driver;
  drop_old(driver);
  session->closing.fd = -1;
  for (size_t i = 0; i < driver->closing_count; i++)
    if (driver->closing[i].host == session->host) {
      session->closing = driver->closing[i];
      take_out(driver, i);
      return;
    }
}

void mp_closing_await(mp_session *session) {
  mp_closing *closing = &session->closing;
  int stop_fd = mp_helper_stop_fd(session);
  if (closing->fd >= 0)
    mp_socket_await_end(closing->fd, until_ms(closing->since_ns + longest_wait_ns), stop_fd);
  if (closing->until_ns > mp_clock_ns())
    mp_socket_await_end(-1, until_ms(closing->until_ns), stop_fd);
  drop(closing);
}

static void see_off(const mp_closing *closing) {
  if (closing->answer_pending && closing->fd >= 0)
    mp_socket_await_end(closing->fd, until_ms(closing->since_ns + farewell_ns), -1);
}

void mp_closing_free(mariadb_driver *driver) {
  for (size_t i = 0; i < driver->closing_count; i++) {
    see_off(&driver->closing[i]);
    drop(&driver->closing[i]);
  }
  free(driver->closing);
  driver->closing = NULL;
  driver->closing_count = driver->closing_capacity = 0;
}

/* ---- the end ----
   A server counts each connection that ends without COM_QUIT, and warns of it in its log. So does one
   whose COM_QUIT is followed by a RST, which is what closing a socket over unread bytes comes to, and what
   answers those that arrive later. */

/* COM_QUIT would be of no use behind an unfinished exchange, and block where there is no room. */
static bool may_say_quit(const mp_session *session) {
  return session->mysql->net.pvio && mp_session_is_between_statements(session) &&
         !mp_reset_is_half_sent(session) && mp_socket_has_room(mysql_get_socket(session->mysql));
}

static void say_quit(MYSQL *mysql) {
  mysql->methods->db_command(mysql, COM_QUIT, NULL, 0, 1, NULL);
}

void mp_session_abort(mp_session *session) {
  MYSQL *mysql = session->mysql;
  if (!mysql || !mysql->net.pvio || session->fork_generation != mp_fork_generation())
    return;
  if (!mp_reset_is_pending(session) && may_say_quit(session))
    say_quit(mysql);
  if (mysql->net.pvio)
    shutdown(mysql_get_socket(mysql), SHUT_RDWR);
}

void mp_session_quit(mp_session *session) {
  if (session->helper || !session->mysql || !may_say_quit(session))
    return;
  mp_socket_drain(mysql_get_socket(session->mysql));
  closing_add(session);
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
    closing_add(session);
}

/* Freeing an unfinished result would read the rest of it. */
static void drop_result(mp_session *session) {
  session->mysql->status = MYSQL_STATUS_READY;
  mysql_free_result(session->result);
}

/* Sessions that are closed after the end of the program find OpenSSL gone: nothing of libmariadb's is
   freed. */
void mp_session_close(mp_session *session) {
  if (session->helper)
    mp_helper_stop(session);
  mp_program_leave(session);
  mp_pollsets_give(session->driver->pollsets, session->pollset); /* while its socket has its number */
  if (session->mysql && !mp_program_has_ended()) {
    say_goodbye(session);
    drop_result(session);
    mp_prepared_end(session);
    mysql_close(session->mysql);
  }
  drop(&session->closing);
  mp_flight_free(session);
  mp_login_drop_password(session);
  free(session->numeric_host);
  free(session);
}
