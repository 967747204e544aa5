/* From nothing to a session that is logged in. Blocks until the deadline at most, but for the TLS handshake,
   which libmariadb offers in no other form. */
#include "login.h"

#include <errmsg.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "greeting.h"
#include "helper.h"
#include "os/descriptor.h"
#include "os/socket.h"
#include "public_key.h"
#include "tls.h"

/* The stack of resumable calls during a login, of which 13.5 KiB were the most that was ever seen in use. */
static const size_t context_stack = 64 * 1024;

/* Plugins that send the password, or something as good, in clear are not among them; those
   that do so unless the connection is safe come only with a unix socket or verified TLS, or, where they can
   encrypt it by a key of the server's, with that key. */
static const char *allowed_auth(const mp_server *server) {
  bool verified = server->tls && server->tls_trust != MP_TRUST_ANYBODY;
  bool named = server->tls && server->tls_trust == MP_TRUST_NAME;
  if (named && server->tls_cleartext && !server->addresses->socket)
    return "mysql_native_password,client_ed25519,caching_sha2_password,sha256_password,mysql_clear_password";
  if (verified || server->addresses->socket)
    return "mysql_native_password,client_ed25519,caching_sha2_password,sha256_password";
  if (server->public_key)
    return "mysql_native_password,client_ed25519,caching_sha2_password";
  return "mysql_native_password,client_ed25519";
}

/* How others come to be allowed. */
static const char *ways_to_allow(const mp_server *server) {
  if (server->tls && server->tls_trust == MP_TRUST_NAME)
    return "with tls.cleartext_password also mysql_clear_password is allowed";
  if (server->addresses->socket || (server->tls && server->tls_trust != MP_TRUST_ANYBODY))
    return "for mysql_clear_password verify the server by its name, with tls.cleartext_password";
  return "for caching_sha2_password, as MySQL 8 has it, verify the server by tls = true, tls.ca (with "
         "tls.verify = 'ca' whatever its name is) or tls.fingerprint, or give its key as server_public_key";
}

/* A fresh handle for each attempt: a failed connect drops the options of its handle. LOCAL
   INFILE is on unless switched off, and lets a server read any file. */
static void set_options(MYSQL *mysql, const mp_server *server, int64_t deadline_ns) {
  int64_t left_ns = deadline_ns - mp_clock_ns();
  unsigned seconds = left_ns > MP_SECOND ? (unsigned)((left_ns + MP_SECOND - 1) / MP_SECOND) : 1;
  unsigned off = 0;
  unsigned protocol = server->addresses->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
  my_bool no = 0;
  mysql_options(mysql, MYSQL_OPT_NONBLOCK, &context_stack);
  mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &off);
  mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_options(mysql, MYSQL_OPT_RECONNECT, &no);
  mysql_options(mysql, MYSQL_SET_CHARSET_NAME, server->charset);
  if (server->application)
    mysql_optionsv(mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", server->application);
  mysql_options(mysql, MARIADB_OPT_RESTRICTED_AUTH, allowed_auth(server));
}

/* A child of exec must not hold the connection open. libmariadb makes its sockets without the flag:
   what another thread runs between the two calls does inherit it. */
static void close_on_exec(MYSQL *mysql) {
  mp_descriptor_close_on_exec(mysql_get_socket(mysql));
}

/* ---- why it failed ---- */

/* libmariadb may name something else than what the server asked for. */
static void explain_plugin(const mp_server *server, mp_error *err) {
  if (err->code == CR_PLUGIN_NOT_ALLOWED)
    snprintf(err->message, sizeof err->message,
             "the server asks for an authentication plugin that is not one of %s: %s", allowed_auth(server),
             ways_to_allow(server));
}

/* What libmariadb says of a socket ends with an errno: "Can't connect to server on 'db' (111)" or "Lost
   connection to server at 'handshake', system error: 104". Of the first nothing else is news to whoever reads
   it behind the address. EAGAIN is the library's own doing. */
static void explain_errno(const mp_session *session, mp_error *err) {
  bool unconnected = err->code == CR_CONNECTION_ERROR;
  char *at = unconnected ? strrchr(err->message, '(') : strstr(err->message, ", system error: ");
  const char *digits = at ? strpbrk(at, "0123456789") : NULL;
  if (!digits)
    return;
  errno = atoi(digits);
  bool refused = errno == ECONNREFUSED, is_news = errno != 0 && errno != EAGAIN;
  if (unconnected && is_news)
    snprintf(err->message, sizeof err->message, "%m");
  else if (!unconnected)
    snprintf(at, (size_t)(err->message + sizeof err->message - at), is_news ? ": %m" : "");
  if (refused && session->address.host && strcmp(session->address.host, "localhost") == 0)
    mp_error_follow(err, " ('localhost' is TCP here; a unix socket is the option socket)");
}

static void explain_stranger(const mp_session *session, mp_error *err) {
  if (session->login.is_stranger || err->code == CR_VERSION_ERROR)
    strcpy(err->message, "what answers is no MariaDB or MySQL server");
}

static mp_status explain(const mp_session *session, mp_error *err) {
  explain_errno(session, err);
  explain_stranger(session, err);
  explain_plugin(&session->driver->server, err);
  mp_public_key_explain(&session->driver->server, err);
  return mp_tls_explain(session, err);
}

static mp_status after_connect(mp_session *session, mp_error *err) {
  if (session->login.lacks_tls)
    return mp_fail(err, MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR, "the server does not speak TLS");
  if (!session->login.connected) {
    mp_mysql_fail(session, MP_PHASE_CONNECT, err);
    return explain(session, err);
  }
  close_on_exec(session->mysql);
  mp_socket_keep_alive(mysql_get_socket(session->mysql)); /* also while a long statement runs */
  mp_call_take_reads(session);
  return session->driver->server.tls ? mp_tls_check(session, err) : MP_DONE;
}

static const char *host_of(const mp_session *session) {
  if (session->address.socket)
    return NULL;
  return session->numeric_host ? session->numeric_host : session->address.host;
}

/* libmariadb reads the host twice: first to connect to it, and, once the server has greeted, as the name
   that the certificate must have. Where the first is an address, the name takes its place in between. */
static void name_address(mp_session *session) {
  if (session->numeric_host && session->address.host)
    strcpy(session->numeric_host, session->address.host);
}

/* A NULL password would be taken from the environment. */
static int connect_start(mp_session *session) {
  const mp_server *server = &session->driver->server;
  unsigned long flags = CLIENT_MULTI_RESULTS | (server->found_rows ? CLIENT_FOUND_ROWS : 0);
  mp_tls_enter_handshake(session->mysql);
  int events =
      mysql_real_connect_start(&session->login.connected, session->mysql, host_of(session), server->user,
                               session->login.password ? session->login.password : "", server->database,
                               session->address.port, session->address.socket, flags);
  if (events) {
    name_address(session);
    close_on_exec(session->mysql);
    mp_helper_watch(session);
  }
  return events;
}

/* The greeting is looked at before libmariadb may read it. A name may have several addresses, each of
   which is tried with a new socket. */
static int connect_cont(mp_session *session, int ready) {
  MYSQL *mysql = session->mysql;
  if (!mysql->server_version) {
    mp_greeting seen = mp_greeting_look(session);
    if (seen == MP_GREETING_TO_COME)
      return MYSQL_WAIT_READ;
    session->login.lacks_tls |= seen == MP_GREETING_WITHOUT_TLS;
    session->login.is_stranger |= seen == MP_GREETING_FOREIGN;
    bool is_bad = seen == MP_GREETING_DEADLY || session->login.lacks_tls || session->login.is_stranger;
    ready = is_bad ? MYSQL_WAIT_TIMEOUT : MYSQL_WAIT_READ | MYSQL_WAIT_WRITE;
  }
  mp_tls_enter_handshake(mysql);
  int events = mysql_real_connect_cont(&session->login.connected, mysql, ready);
  if (events)
    close_on_exec(mysql);
  return events;
}

static const mp_call_kind handshake = {connect_start, connect_cont};

/* Until the login is over libmariadb may want to read the key. */
static mp_status shake_hands(mp_session *session, int64_t deadline_ns, mp_error *err) {
  int key = -1;
  if (mp_public_key_set(session->mysql, session->driver->server.public_key, &key, err) != MP_DONE)
    return MP_FAILED;
  mp_status status = mp_call_begin(session, &handshake, after_connect, err);
  status = mp_call_run(session, status, deadline_ns, err);
  mp_public_key_drop(session->mysql, key);
  return status;
}

mp_status mp_login(mp_session *session, int64_t deadline_ns, mp_error *err) {
  session->mysql = mysql_init(NULL);
  if (!session->mysql)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  set_options(session->mysql, &session->driver->server, deadline_ns);
  if (mp_tls_set_options(session->mysql, &session->driver->server, err) != MP_DONE)
    return MP_FAILED;
  session->base.max_packet = SIZE_MAX; /* until the server has said it */
  return shake_hands(session, deadline_ns, err);
}

/* ---- the password ---- */

/* Wipes the password from memory before it is freed: writes to what is volatile the compiler does not leave
   out. */
void mp_login_drop_password(mp_session *session) {
  for (volatile char *at = session->login.password; at && *at; at++)
    *at = 0;
  free(session->login.password);
  session->login.password = NULL;
}

/* A function of the program's may be what tells the password. */
mp_status mp_login_ask_password(mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  mp_login_drop_password(session);
  session->login.password = server->password(server->context, err);
  return err->kind == MP_ERR_NONE ? MP_DONE : MP_FAILED;
}

/* ---- a session for the sake of another ---- */

mp_session *mp_login_new(mp_session *served) {
  mp_session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->driver = served->driver;
  session->address = served->address;
  session->fork_generation = served->fork_generation;
  session->login.password = served->login.password ? strdup(served->login.password) : NULL;
  session->closing.fd = -1;
  session->login.limit_ns = served->login.limit_ns;
  session->login.is_cut = served->login.is_cut;
  session->stop_with = served;
  return session;
}
