/* Runs libmariadb's resumable calls: one is in progress at a time, and what follows it is
   a function of the session. */
#include <errmsg.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "helper.h"

/* Takes what a _start or _cont function returned: wait for `events`, or go on. */
mp_status mp_task_settle(mp_session *session, int events, mp_error *err) {
  session->events = events;
  if (events)
    return MP_WAIT;
  session->cont = NULL;
  return session->done(session, err);
}

/* libmariadb retries its read when woken for nothing, so telling it that all it waited for
   has happened is harmless. Timeouts are ours: MYSQL_WAIT_TIMEOUT is never passed on. */
mp_status mp_task_step(mp_session *session, mp_error *err) {
  int happened = session->events & ~MYSQL_WAIT_TIMEOUT;
  mp_neighbours_forget(session);
  return mp_task_settle(session, session->cont(session, happened), err);
}

static short poll_events(int events) {
  short wanted = 0;
  if (events & MYSQL_WAIT_READ)
    wanted |= POLLIN;
  if (events & MYSQL_WAIT_WRITE)
    wanted |= POLLOUT;
  return wanted;
}

/* Waits in place, for connecting: false when time is up, or the session no longer wanted. */
static bool wait_in_place(mp_session *session, int events, int64_t deadline_ns) {
  struct pollfd fds[2] = {
      {.fd = mysql_get_socket(session->mysql), .events = poll_events(events)},
      {.fd = mp_helper_stop_fd(session), .events = POLLIN},
  };
  int64_t left = deadline_ns - mp_clock_ns();
  if (left <= 0)
    return false;
  int64_t ms = (left + MP_MILLISECOND - 1) / MP_MILLISECOND;
  bool on_helper = fds[1].fd >= 0;
  if (on_helper)
    mp_fork_allow();
  poll(fds, 2, ms > 60000 ? 60000 : (int)ms);
  if (on_helper)
    mp_fork_forbid();
  return fds[1].revents == 0;
}

/* Once time is up nothing counts that comes, or a server that sends without end would never be left. */
bool mp_task_poll(const mp_session *session, int events, int64_t deadline_ns) {
  struct pollfd socket = {.fd = mysql_get_socket(session->mysql), .events = poll_events(events)};
  int64_t ms = -1;
  if (deadline_ns != MP_NEVER) {
    int64_t left = deadline_ns - mp_clock_ns();
    if (left <= 0)
      return false;
    ms = (left + MP_MILLISECOND - 1) / MP_MILLISECOND;
  }
  return poll(&socket, 1, ms < INT_MAX ? (int)ms : INT_MAX) > 0;
}

/* The way through the epoll set and Lua's loop costs more than the wait for a short statement. A patient read
   has waited already, until the deadline or a signal. */
bool mp_task_wait_here(mp_session *session, int64_t deadline_ns) {
  bool waited = session->patient_until_ns > 0 && !(session->events & MYSQL_WAIT_WRITE);
  return !session->helper && session->cont && !waited && mp_task_poll(session, session->events, deadline_ns);
}

static mp_status fail_late(mp_error *err) {
  return mp_fail(err, MP_ERR_CONNECT, CR_SERVER_LOST, "no answer within connect_timeout");
}

/* A socket may nearly always be written to. */
mp_status mp_task_look(mp_session *session, int64_t deadline_ns, mp_error *err) {
  return wait_in_place(session, MYSQL_WAIT_WRITE, deadline_ns) ? MP_DONE : fail_late(err);
}

/* Brings what returned `status` to its end without leaving. */
mp_status mp_task_run(mp_session *session, mp_status status, int64_t deadline_ns, mp_error *err) {
  while (status == MP_WAIT) {
    if (!wait_in_place(session, session->events, deadline_ns))
      return fail_late(err);
    status = mp_task_step(session, err);
  }
  return status;
}

/* 2xxx are the client library's own errors: with few exceptions the connection is gone. */
static mp_kind kind_of(unsigned code) {
  if (code == CR_SERVER_GONE_ERROR || code == CR_SERVER_LOST || code == CR_SERVER_LOST_EXTENDED ||
      code == CR_SSL_CONNECTION_ERROR)
    return MP_ERR_LOST;
  return code == 0 || (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR) ? MP_ERR_PROTOCOL : MP_ERR_SERVER;
}

mp_status mp_say(unsigned code, const char *message, const char *sqlstate, mp_phase phase, mp_error *err) {
  if (err->kind != MP_ERR_NONE)
    return MP_FAILED;
  mp_fail(err, kind_of(code), code, "%s", code ? message : "failed without saying why");
  err->phase = phase;
  strncpy(err->sqlstate, sqlstate, sizeof err->sqlstate - 1);
  return MP_FAILED;
}

mp_status mp_mysql_fail(mp_session *session, mp_phase phase, mp_error *err) {
  MYSQL *mysql = session->mysql;
  return mp_say(mysql_errno(mysql), mysql_error(mysql), mysql_sqlstate(mysql), phase, err);
}
