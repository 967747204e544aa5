/* From nothing to a session at its baseline. Blocks until the deadline at most, but for name
   resolution and the TLS handshake, which libmariadb offers in no other form. */
#include <errmsg.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "helper.h"

/* 13.5 KiB were the most that was ever seen in use. */
static const size_t context_stack = 64 * 1024;

/* Plugins that send the password, or something as good, in clear are not among them; those
   that do so unless the connection is safe come only with a unix socket or verified TLS. */
static const char *allowed_auth(const mp_server *server) {
  bool safe = server->socket || (server->tls && server->tls_verify);
  return safe ? "mysql_native_password,client_ed25519,caching_sha2_password,sha256_password"
              : "mysql_native_password,client_ed25519";
}

/* A fresh handle for each attempt: a failed connect drops the options of its handle. LOCAL
   INFILE is on unless switched off, and lets a server read any file. */
static void set_options(MYSQL *mysql, const mp_server *server) {
  unsigned seconds = (unsigned)((server->connect_timeout_ns + MP_SECOND - 1) / MP_SECOND);
  unsigned off = 0;
  unsigned protocol = server->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
  my_bool no = 0;
  mysql_options(mysql, MYSQL_OPT_NONBLOCK, &context_stack);
  mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
  mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_options(mysql, MYSQL_OPT_RECONNECT, &no);
  mysql_options(mysql, MYSQL_SET_CHARSET_NAME, server->charset);
  mysql_options(mysql, MARIADB_OPT_RESTRICTED_AUTH, allowed_auth(server));
  if (server->tls)
    mp_tls_set_options(mysql, server);
}

/* A child of exec must not hold the connection open; a peer that is gone for good must be
   noticed also while a long statement runs, which only keepalive does. */
static void set_socket_options(MYSQL *mysql) {
  int fd = mysql_get_socket(mysql);
  int on = 1, idle = 60, interval = 10, probes = 6;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static mp_status connected(mp_session *session, mp_error *err) {
  if (!session->connected)
    return mp_mysql_fail(session, MP_PHASE_CONNECT, err);
  set_socket_options(session->mysql);
  return session->driver->server.tls ? mp_tls_check(session, err) : MP_DONE;
}

/* The beginning of an error packet with the code 65535, behind its length and number. */
static const unsigned char deadly[] = {0xff, 0xff, 0xff};
enum { PACKET_HEADER = 4, GREETING_NEEDED = PACKET_HEADER + sizeof deadly };

static bool has_ended(int fd) {
  struct pollfd socket = {.fd = fd, .events = POLLRDHUP};
  return poll(&socket, 1, 0) > 0;
}

/* So that poll does not tell of less. */
static void set_low_water(int fd, int bytes) {
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

typedef enum greeting { GREETING_TO_COME, GREETING_DEADLY, GREETING_TO_READ } greeting;

/* What cannot be looked at is libmariadb's to judge. */
static greeting look_at_greeting(int fd) {
  unsigned char first[GREETING_NEEDED];
  ssize_t length = recv(fd, first, sizeof first, MSG_PEEK | MSG_DONTWAIT);
  bool too_short = length < 0 ? errno == EAGAIN : length > 0 && length < GREETING_NEEDED;
  if (too_short && !has_ended(fd)) {
    set_low_water(fd, GREETING_NEEDED);
    return GREETING_TO_COME;
  }
  set_low_water(fd, 1);
  bool whole = length == GREETING_NEEDED;
  return whole && memcmp(first + PACKET_HEADER, deadly, sizeof deadly) == 0 ? GREETING_DEADLY
                                                                            : GREETING_TO_READ;
}

/* libmariadb takes such a packet for a progress report and looks for the server's version, which it
   does not have before the greeting: it would crash. So the greeting's first bytes are looked at
   before it may read any. */
static int connect_cont(mp_session *session, int ready) {
  if (!session->mysql->server_version) {
    greeting seen = look_at_greeting(mysql_get_socket(session->mysql));
    if (seen == GREETING_TO_COME)
      return MYSQL_WAIT_READ;
    ready = seen == GREETING_DEADLY ? MYSQL_WAIT_TIMEOUT : MYSQL_WAIT_READ | MYSQL_WAIT_WRITE;
  }
  return mysql_real_connect_cont(&session->connected, session->mysql, ready);
}

/* A NULL password would be taken from the environment. */
static mp_status handshake(mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  session->cont = connect_cont;
  session->done = connected;
  int events =
      mysql_real_connect_start(&session->connected, session->mysql, server->socket ? NULL : server->host,
                               server->user, session->password ? session->password : "", server->database,
                               server->port, server->socket, CLIENT_MULTI_RESULTS);
  if (events)
    mp_helper_watch(session);
  return mp_task_settle(session, events, err);
}

static mp_status set_collation(mp_session *session, int64_t deadline_ns, mp_error *err) {
  const mp_server *server = &session->driver->server;
  char sql[256];
  if (!server->collation)
    return MP_DONE;
  snprintf(sql, sizeof sql, "SET NAMES %s COLLATE %s", server->charset, server->collation);
  return mp_run(session, sql, deadline_ns, err);
}

static mp_status run_init_sql(mp_session *session, int64_t deadline_ns, mp_error *err) {
  const mp_server *server = &session->driver->server;
  for (size_t i = 0; i < server->init_sql_count; i++)
    if (mp_run(session, server->init_sql[i], deadline_ns, err) != MP_DONE)
      return MP_FAILED;
  return MP_DONE;
}

/* Whatever goes wrong before the session is ready is a connect error to the caller. */
static mp_status failed(mp_error *err) {
  err->kind = MP_ERR_CONNECT;
  err->phase = MP_PHASE_CONNECT;
  return MP_FAILED;
}

mp_status mp_session_login(mp_session *session, int64_t deadline_ns, mp_error *err) {
  session->mysql = mysql_init(NULL);
  if (!session->mysql)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  set_options(session->mysql, &session->driver->server);
  session->base.max_packet = SIZE_MAX; /* until the server has said it */
  return mp_task_run(session, handshake(session, err), deadline_ns, err);
}

mp_status mp_session_connect(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_leaving_await(session);
  if (mp_session_login(session, deadline_ns, err) != MP_DONE ||
      set_collation(session, deadline_ns, err) != MP_DONE ||
      mp_baseline_record(session, deadline_ns, err) != MP_DONE ||
      run_init_sql(session, deadline_ns, err) != MP_DONE)
    return failed(err);
  mp_baseline_settle(&session->base, session->mysql, session->driver->server.init_sql_count > 0);
  return mp_flight_build(session, err) == MP_DONE ? MP_DONE : failed(err);
}
