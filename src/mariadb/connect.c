/* From nothing to a session at its baseline. Blocks until the deadline at most, but for name
   resolution and the TLS handshake, which libmariadb offers in no other form. */
#include <errmsg.h>
#include <stdio.h>
#include <string.h>

#include "helper.h"
#include "os/socket.h"

/* 13.5 KiB were the most that was ever seen in use. */
static const size_t context_stack = 64 * 1024;
/* Of a session that is connected: what the smaller one leaves holds the buffers of the next session
   (measured: 39 KiB for each idle session instead of 50). */
static const size_t running_stack = 44 * 1024;

/* Plugins that send the password, or something as good, in clear are not among them; those
   that do so unless the connection is safe come only with a unix socket or verified TLS. */
static const char *allowed_auth(const mp_server *server) {
  bool verified = server->tls && server->tls_verify;
  if (verified && server->tls_cleartext && !server->socket)
    return "mysql_native_password,client_ed25519,caching_sha2_password,sha256_password,mysql_clear_password";
  if (verified || server->socket)
    return "mysql_native_password,client_ed25519,caching_sha2_password,sha256_password";
  return "mysql_native_password,client_ed25519";
}

/* A fresh handle for each attempt: a failed connect drops the options of its handle. LOCAL
   INFILE is on unless switched off, and lets a server read any file. */
static void set_options(MYSQL *mysql, const mp_server *server, int64_t deadline_ns) {
  int64_t left_ns = deadline_ns - mp_clock_ns();
  unsigned seconds = left_ns > MP_SECOND ? (unsigned)((left_ns + MP_SECOND - 1) / MP_SECOND) : 1;
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
}

/* A child of exec must not hold the connection open. libmariadb makes its sockets without the flag:
   what another thread runs between the two calls does inherit it. */
static void close_on_exec(MYSQL *mysql) {
  mp_socket_close_on_exec(mysql_get_socket(mysql));
}

/* libmariadb may name something else than what the server asked for. */
static void explain_plugin(const mp_server *server, mp_error *err) {
  if (err->code == CR_PLUGIN_NOT_ALLOWED)
    snprintf(err->message, sizeof err->message,
             "the server asks for an authentication plugin that is not one of %s", allowed_auth(server));
}

static mp_status connected(mp_session *session, mp_error *err) {
  if (!session->connected) {
    mp_mysql_fail(session, MP_PHASE_CONNECT, err);
    explain_plugin(&session->driver->server, err);
    return mp_tls_explain(session, err);
  }
  close_on_exec(session->mysql);
  mp_socket_keep_alive(mysql_get_socket(session->mysql)); /* also while a long statement runs */
  mp_reading_begin(session);
  return session->driver->server.tls ? mp_tls_check(session, err) : MP_DONE;
}

/* The greeting is looked at before libmariadb may read it. A name may have several addresses, each of
   which is tried with a new socket. */
static int connect_cont(mp_session *session, int ready) {
  MYSQL *mysql = session->mysql;
  if (!mysql->server_version) {
    mp_greeting seen = mp_greeting_look(session);
    if (seen == MP_GREETING_TO_COME)
      return MYSQL_WAIT_READ;
    ready = seen == MP_GREETING_DEADLY ? MYSQL_WAIT_TIMEOUT : MYSQL_WAIT_READ | MYSQL_WAIT_WRITE;
  }
  int events = mysql_real_connect_cont(&session->connected, mysql, ready);
  if (events)
    close_on_exec(mysql);
  return events;
}

static const char *host_of(const mp_session *session) {
  const mp_server *server = &session->driver->server;
  if (server->socket)
    return NULL;
  return session->address ? session->address : server->host;
}

/* libmariadb reads the host twice: first to connect to it, and, once the server has greeted, as the name
   that the certificate must have. Where the first is an address, the name takes its place in between. */
static void name_address(mp_session *session) {
  const mp_server *server = &session->driver->server;
  if (session->address && server->host)
    strcpy(session->address, server->host);
}

/* A NULL password would be taken from the environment. */
static mp_status handshake(mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  session->cont = connect_cont;
  session->done = connected;
  int events = mysql_real_connect_start(&session->connected, session->mysql, host_of(session), server->user,
                                        session->password ? session->password : "", server->database,
                                        session->address ? session->port_number : server->port,
                                        server->socket, CLIENT_MULTI_RESULTS);
  if (events) {
    name_address(session);
    close_on_exec(session->mysql);
    mp_helper_watch(session);
  }
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
  return server->init_sql_count > 0 ? mp_baseline_record_state(session, deadline_ns, err) : MP_DONE;
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
  const mp_server *server = &session->driver->server;
  set_options(session->mysql, server, deadline_ns);
  if (server->tls && mp_tls_set_options(session->mysql, server, err) != MP_DONE)
    return MP_FAILED;
  session->base.max_packet = SIZE_MAX; /* until the server has said it */
  return mp_task_run(session, handshake(session, err), deadline_ns, err);
}

static mp_status reach_baseline(mp_session *session, int64_t deadline_ns, mp_error *err) {
  if (set_collation(session, deadline_ns, err) == MP_DONE &&
      mp_baseline_record(session, deadline_ns, err) == MP_DONE &&
      run_init_sql(session, deadline_ns, err) == MP_DONE && mp_baseline_check(session, err) == MP_DONE)
    return MP_DONE;
  if (err->code == CR_SSL_CONNECTION_ERROR)
    err->code = CR_SERVER_LOST; /* who has logged in was not refused */
  return MP_FAILED;
}

mp_status mp_session_connect(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_leaving_await(session);
  if (mp_addresses_login(session, deadline_ns, err) != MP_DONE)
    return failed(err);
  if (!session->driver->server.tls)
    mysql_options(session->mysql, MYSQL_OPT_NONBLOCK, &running_stack);
  if (reach_baseline(session, deadline_ns, err) != MP_DONE)
    return failed(err);
  if (mp_session_has_more(session))
    return mp_fail(err, MP_ERR_CONNECT, CR_MALFORMED_PACKET,
                   "more came than the replies that were asked for");
  mp_baseline_settle(&session->base, session->mysql, session->driver->server.init_sql_count > 0);
  mp_mode_rest(session);
  return mp_flight_build(session, err) == MP_DONE ? MP_DONE : failed(err);
}
