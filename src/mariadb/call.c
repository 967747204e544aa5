/* Runs libmariadb's resumable calls, one after the other. */
#include "call.h"

#include <errmsg.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>

#include "familiar.h"
#include "helper.h"
#include "tls.h"

/* ---- the calls of the text protocol ---- */

static int send_start(mp_session *session) {
  return mysql_send_query_start(&session->call.outcome, session->mysql, session->text.sql,
                                session->text.length);
}

static int send_cont(mp_session *session, int ready) {
  return mysql_send_query_cont(&session->call.outcome, session->mysql, ready);
}

const mp_call_kind mp_call_send = {send_start, send_cont};

static int reply_start(mp_session *session) {
  return mysql_read_query_result_start(&session->call.flag, session->mysql);
}

static int reply_cont(mp_session *session, int ready) {
  return mysql_read_query_result_cont(&session->call.flag, session->mysql, ready);
}

const mp_call_kind mp_call_reply = {reply_start, reply_cont};

static int row_start(mp_session *session) {
  return mysql_fetch_row_start(&session->row, session->result);
}

static int row_cont(mp_session *session, int ready) {
  return mysql_fetch_row_cont(&session->row, session->result, ready);
}

const mp_call_kind mp_call_row = {row_start, row_cont};

static int next_result_start(mp_session *session) {
  return mysql_next_result_start(&session->call.outcome, session->mysql);
}

static int next_result_cont(mp_session *session, int ready) {
  return mysql_next_result_cont(&session->call.outcome, session->mysql, ready);
}

const mp_call_kind mp_call_next_result = {next_result_start, next_result_cont};

static int ping_start(mp_session *session) {
  return mysql_ping_start(&session->call.outcome, session->mysql);
}

static int ping_cont(mp_session *session, int ready) {
  return mysql_ping_cont(&session->call.outcome, session->mysql, ready);
}

const mp_call_kind mp_call_ping = {ping_start, ping_cont};

/* ---- one after the other ---- */

/* Makes the call that was named last. Returns the events that it waits for; 0: it is over. */
static int make(mp_session *session) {
  if (session->call.events)
    return session->call.events;
  session->call.is_made = true;
  return session->call.kind->start(session);
}

static mp_status finish(mp_session *session, mp_error *err) {
  session->call.kind = NULL;
  return session->call.after(session, err);
}

mp_status mp_call_go_on(mp_session *session, mp_status status, mp_error *err) {
  while (status == MP_WAIT) {
    session->call.events = make(session);
    if (session->call.events)
      return MP_WAIT;
    status = finish(session, err);
  }
  return status;
}

/* libmariadb retries its read when woken for nothing, so telling it that all it waited for
   has happened is harmless. Timeouts are ours: MYSQL_WAIT_TIMEOUT is never passed on. */
mp_status mp_call_step(mp_session *session, mp_error *err) {
  int happened = session->call.events & ~MYSQL_WAIT_TIMEOUT;
  mp_tls_clear_errors(session);
  session->call.events = session->call.is_made ? session->call.kind->cont(session, happened) : 0;
  if (session->call.events)
    return MP_WAIT;
  return mp_call_go_on(session, session->call.is_made ? finish(session, err) : MP_WAIT, err);
}

int mp_call_wait_fd(mp_session *session) {
  int events = session->call.events;
  return mp_pollset_arm(session->pollset, mysql_get_socket(session->mysql), events & MYSQL_WAIT_READ,
                        events & MYSQL_WAIT_WRITE);
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

/* Bytes that come once time is up do not count: else a server that sends without end would never be left. */
bool mp_call_poll(const mp_session *session, int events, int64_t deadline_ns) {
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

/* The way through the epoll set and Lua's loop costs more than the wait for a short statement. A read that
   may block has waited already, until the deadline or a signal. */
bool mp_call_wait_here(mp_session *session, int64_t deadline_ns) {
  bool waited = session->call.may_block_until_ns > 0 && !(session->call.events & MYSQL_WAIT_WRITE);
  return !session->helper && session->call.kind && !waited &&
         mp_call_poll(session, session->call.events, deadline_ns);
}

mp_status mp_call_fail_late(const mp_session *session, mp_error *err) {
  if (err->kind == MP_ERR_NONE && session->login.is_cut)
    err->cause = MP_CAUSE_DEADLINE;
  return mp_fail(err, MP_ERR_CONNECT, CR_SERVER_LOST, "no answer within %s s%s",
                 mp_seconds_of(session->login.limit_ns).text,
                 session->login.is_cut ? "" : " (connect_timeout)");
}

/* A socket may nearly always be written to. */
mp_status mp_call_look(mp_session *session, int64_t deadline_ns, mp_error *err) {
  return wait_in_place(session, MYSQL_WAIT_WRITE, deadline_ns) ? MP_DONE : mp_call_fail_late(session, err);
}

/* Also on a helper thread, where the wait ends when the session is no longer wanted. */
mp_status mp_call_run(mp_session *session, mp_status status, int64_t deadline_ns, mp_error *err) {
  while (status == MP_WAIT) {
    if (!wait_in_place(session, session->call.events, deadline_ns))
      return mp_call_fail_late(session, err);
    status = mp_call_step(session, err);
  }
  return status;
}

/* ---- what has been read ahead ---- */

/* Once a send has failed there is no connection any more, and where that send had no reply, as the end of a
   prepared statement has none, nobody was told. */
bool mp_call_has_cached(const mp_session *session) {
  const MARIADB_PVIO *pvio = session->mysql->net.pvio;
  return pvio && pvio->cache && pvio->cache_pos < pvio->cache + pvio->cache_size;
}

/* A packet is three bytes of length, one of a number, and so many more (MariaDB knowledge base, "Protocol
   Overview"). */
bool mp_call_has_packet(const mp_session *session) {
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
bool mp_call_has_row(const mp_session *session) {
  return !session->call.kind && mp_call_has_packet(session) && session->mysql->net.pvio->cache_pos[4] < 0xFE;
}

/* ---- reading the socket ----
   The read of libmariadb's resumable calls tries at once, and in vain after a send, for the
   answer takes its time; then it asks to be resumed. Where the program has nothing else to do meanwhile, the
   read may as well wait for the answer: that saves the way back to the program. It waits by poll, not in
   recv, which was measured to cost more, client and server on one core: 22 microseconds for a query,
   not 19.6. */

static mp_session *session_of(const MARIADB_PVIO *pvio) {
  return (mp_session *)(void *)((char *)pvio->methods - offsetof(mp_session, call.reading));
}

/* From 3.4.10 on the library's sockets never block (its issue CONC-828): its one function for reading waits
   by itself where it must, and takes a failure for the end, so that no read can be said to be in vain. A
   library on the other side of that change than the headers has other functions in these places: it keeps
   them all. */
#define ALWAYS_NONBLOCKING 30410

static bool has_the_layout_of_its_headers(void) {
  return (mysql_get_client_version() < ALWAYS_NONBLOCKING) ==
         (MARIADB_PACKAGE_VERSION_ID < ALWAYS_NONBLOCKING);
}

/* True: there is nothing to read. */
static bool block_until_readable(mp_session *session) {
  return session->call.may_block_until_ns > 0 &&
         !mp_call_poll(session, MYSQL_WAIT_READ, session->call.may_block_until_ns);
}

static ssize_t heard(mp_session *session, const uchar *buffer, ssize_t length) {
  if (length > 0)
    mp_familiar_add(session, buffer, (size_t)length);
  return length;
}

#if MARIADB_PACKAGE_VERSION_ID < ALWAYS_NONBLOCKING
static ssize_t read_socket(MARIADB_PVIO *pvio, uchar *buffer, size_t length) {
  mp_session *session = session_of(pvio);
  bool in_vain = session->call.answer_pending;
  session->call.answer_pending = false;
  if (session->call.may_block_until_ns > 0)
    in_vain = block_until_readable(session);
  if (!in_vain)
    return heard(session, buffer, session->call.ordinary->async_read(pvio, buffer, length));
  errno = EAGAIN;
  return -1;
}

static void use_own_read(mp_session *session) {
  session->call.reading.async_read = read_socket;
}
#else
static ssize_t read_socket(MARIADB_PVIO *pvio, uchar *buffer, size_t length) {
  mp_session *session = session_of(pvio);
  block_until_readable(session);
  return heard(session, buffer, session->call.ordinary->read(pvio, buffer, length));
}

static void use_own_read(mp_session *session) {
  session->call.reading.read = read_socket;
}
#endif

void mp_call_take_reads(mp_session *session) {
  MARIADB_PVIO *pvio = session->mysql->net.pvio;
  if (session->driver->server.tls || !has_the_layout_of_its_headers()) /* or OpenSSL reads */
    return;
  session->call.ordinary = pvio->methods;
  session->call.reading = *pvio->methods;
  use_own_read(session);
  pvio->methods = &session->call.reading;
}

void mp_call_give_reads(mp_session *session) {
  if (session->call.ordinary)
    session->mysql->net.pvio->methods = session->call.ordinary;
}

void mp_call_may_block_until(mp_session *session, int64_t until_ns) {
  session->call.may_block_until_ns =
      session->call.ordinary && !session->driver->server.threads ? until_ns : 0;
}

/* ---- failing ---- */

/* A byte that a child process reads from a socket that it shares with its parent is lost to the parent. */
bool mp_call_is_foreign(const mp_session *session) {
  return session->fork_generation != mp_fork_generation();
}

mp_status mp_call_fail_foreign(mp_phase phase, mp_error *err) {
  mp_fail(err, MP_ERR_LOST, CR_SERVER_LOST, "the connection belongs to the parent process");
  err->phase = phase;
  return MP_FAILED;
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
