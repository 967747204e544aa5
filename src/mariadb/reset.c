/* The reset: what is sent at release and read at the next checkout.

   COM_RESET_CONNECTION clears nearly all of a session, but leaves the database, the role and
   the profiles, and sets variables to the server's current globals, not to what the session
   began with. So more packets go in the same flight:

     ROLLBACK              if the session is in a transaction
     COM_RESET_CONNECTION
     SET ROLE …            for an account that may
     SELECT … WHERE …      what must not be, a role or a database; FOUND_ROWS() is 0 again
     SHOW PROFILES         must be empty: no command drops the texts that it shows
     COM_INIT_DB           the database, and with it character_set_database
     SET NAMES …           if the collation is the user's, or the server MySQL
     init_connect, init_sql, the statements of on_connect

   mysql_reset_connection() is of no use: it never parses the OK packet, after which the
   client's idea of charset and flags is the last borrower's. */
#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "scan.h"
#include "session.h"

/* ---- building the flight ---- */

/* Header: three bytes of length, a sequence number, the command (MariaDB knowledge base,
   "0-packet"). What is longer than that can say would have to be split: the rest of it would be
   read as another command. */
enum { LONGEST_PAYLOAD = (1 << 24) - 2 };

bool mp_flight_takes(size_t length) {
  return length < LONGEST_PAYLOAD;
}

static void add_packet(mp_session *session, enum enum_server_command command, const char *text,
                       size_t length) {
  size_t size = length + 1;
  char header[5] = {(char)size, (char)(size >> 8), (char)(size >> 16), 0, (char)command};
  session->flight.failed |= !mp_flight_takes(length);
  mp_buffer_add(&session->flight, header, sizeof header);
  mp_buffer_add(&session->flight, text, length);
  session->flight_replies++;
}

static void add_query(mp_session *session, const char *sql) {
  add_packet(session, COM_QUERY, sql, strlen(sql));
}

static void add_text(mp_buffer *sql, const char *text) {
  mp_buffer_add(sql, text, strlen(text));
}

/* Adds a statement that was put together, and frees it. */
static void add_built(mp_session *session, mp_buffer *sql) {
  if (!sql->failed)
    add_packet(session, COM_QUERY, sql->data, sql->length);
  session->flight.failed |= sql->failed;
  mp_buffer_free(sql);
}

/* MariaDB returns to the charset of the handshake with its default collation, MySQL to the
   server's charset. */
static void add_names(mp_session *session) {
  const mp_server *server = &session->driver->server;
  mp_buffer sql = {0};
  if (session->base.is_mariadb && !server->collation)
    return;
  add_text(&sql, "SET NAMES ");
  add_text(&sql, server->charset);
  add_text(&sql, " COLLATE ");
  add_text(&sql, session->base.collation);
  add_built(session, &sql);
}

static void add_role(mp_session *session) {
  const char *role = session->base.role;
  mp_buffer sql = {0};
  if (!session->base.has_roles)
    return;
  add_text(&sql, "SET ROLE ");
  if (role && !session->base.is_mariadb)
    add_text(&sql, role);
  else if (role)
    mp_encode_identifier(&sql, role, strlen(role), &(mp_sql_mode){.utf8 = true});
  else
    add_text(&sql, "NONE");
  add_built(session, &sql);
}

/* A database where there was none, for no command takes it away; the client's own idea of it is no proof, as
   a borrower may have switched the tracking off. A role of an account that had none to choose: it may have
   been granted one since. On MySQL roles are always restored, where there are any. */
static void add_guard(mp_session *session) {
  const baseline *base = &session->base;
  bool role = base->is_mariadb && !base->has_roles, database = !base->database;
  mp_buffer sql = {0};
  add_text(&sql, "SELECT 1 FROM DUAL WHERE ");
  add_text(&sql, role ? "CURRENT_ROLE() IS NOT NULL" : "FALSE");
  add_text(&sql, database ? " OR DATABASE() IS NOT NULL LIMIT 1" : " LIMIT 1");
  session->guard_reply = session->flight_replies;
  add_built(session, &sql);
}

/* The texts of the last borrower's statements, if it had them profiled. The guard would be among them while
   profiling goes on, which the reset does not end. */
static void add_profiles(mp_session *session) {
  session->profiles_reply = session->flight_replies;
  add_query(session, "SHOW PROFILES");
}

static void add_database(mp_session *session) {
  const char *database = session->base.database;
  if (database)
    add_packet(session, COM_INIT_DB, database, strlen(database));
}

/* init_connect may hold several statements, which this client refuses to send as one. */
static void add_init_connect(mp_session *session) {
  const char *text = session->base.init_connect, *end = text + strlen(text);
  mp_scanner scanner;
  mp_scanner_init(&scanner, text, strlen(text),
                  (mp_reading){.no_backslash_escapes = session->base.login_no_backslash_escapes});
  while (text < end) {
    const char *stop = mp_scanner_find(&scanner, ';');
    size_t length = (size_t)((stop ? stop : end) - text);
    if (strspn(text, " \t\r\n") < length)
      add_packet(session, COM_QUERY, text, length);
    text = stop ? stop + 1 : end;
  }
}

mp_status mp_flight_build(mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  if (!mp_flight_takes(strlen(session->base.init_connect)))
    return mp_fail(err, MP_ERR_CONNECT, 0, "the server's init_connect is too long to be repeated");
  session->flight.length = session->flight_replies = 0;
  add_packet(session, COM_RESET_CONNECTION, NULL, 0);
  add_role(session);
  add_guard(session);
  add_profiles(session);
  add_database(session);
  add_names(session);
  add_init_connect(session);
  for (size_t i = 0; i < server->init_sql_count; i++)
    add_query(session, server->init_sql[i]);
  session->built_length = session->flight.length;
  session->built_replies = session->flight_replies;
  if (session->flight.failed)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  return MP_DONE;
}

/* ---- the statements of on_connect ---- */

void mp_flight_add(mp_session *session, const char *sql, size_t length) {
  add_packet(session, COM_QUERY, sql, length);
}

/* They may have chosen a database or a role, which the beginning of the flight must know. */
static void rebuild(mp_session *session) {
  mp_error ignored = {0};
  mp_buffer before = session->flight;
  size_t built = session->built_length;
  unsigned recorded = session->flight_replies - session->built_replies;
  session->flight = (mp_buffer){0};
  mp_baseline_settle(&session->base, session->mysql, true);
  mp_flight_build(session, &ignored);
  mp_buffer_add(&session->flight, before.data + built, before.length - built);
  session->flight_replies += recorded;
  mp_buffer_free(&before);
}

void mp_flight_record(mp_session *session, bool on) {
  session->recording = on;
  if (!on && session->flight_replies > session->built_replies)
    rebuild(session);
}

/* ---- sending ---- */

/* The packet of a ROLLBACK, for a session that is in a transaction. The reset would undo an
   ordinary one by itself; but an XA transaction that is prepared it takes from the session and
   breaks: then this fails, and the session is closed, which leaves the transaction whole. */
static const char rollback[] = "\x09\0\0\0\x03ROLLBACK";
enum { ROLLBACK_LENGTH = sizeof rollback - 1 };

static bool in_transaction(const mp_session *session) {
  return session->mysql->server_status & SERVER_STATUS_IN_TRANS;
}

/* One system call for all of it: half the cost of a call for each command. */
static bool send_at_once(mp_session *session) {
  struct iovec parts[] = {
      {.iov_base = (char *)rollback, .iov_len = in_transaction(session) ? ROLLBACK_LENGTH : 0},
      {.iov_base = session->flight.data, .iov_len = session->flight.length},
  };
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  ssize_t sent = sendmsg(mysql_get_socket(session->mysql), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent == (ssize_t)(parts[0].iov_len + parts[1].iov_len);
}

static bool send_packets(MYSQL *mysql, const char *at, size_t length) {
  const char *end = at + length;
  bool sent = true;
  while (sent && at < end) {
    size_t size =
        (unsigned char)at[0] | (size_t)(unsigned char)at[1] << 8 | (size_t)(unsigned char)at[2] << 16;
    const char *argument = size > 1 ? at + 5 : NULL; /* of length 0 it would be measured to its NUL */
    enum enum_server_command command = (enum enum_server_command)at[4];
    sent = mysql->methods->db_command(mysql, command, argument, size - 1, 1, NULL) == 0;
    at += 4 + size;
  }
  return sent;
}

/* Under TLS libmariadb must write, which sets the socket to blocking. The flight is small, and
   nothing else is on its way: it cannot block. */
static bool send_each(mp_session *session) {
  MYSQL *mysql = session->mysql;
  bool sent = send_packets(mysql, rollback, in_transaction(session) ? ROLLBACK_LENGTH : 0) &&
              send_packets(mysql, session->flight.data, session->flight.length);
  mp_set_nonblocking(mysql);
  return sent;
}

/* Only for a session at rest: the server would take the flight for part of something else. */
mp_status mp_reset_send(mp_session *session, mp_error *err) {
  mp_prepared_end(session);
  mp_mode_forget(session);
  mp_reading_patient(session, 0);
  if (!(session->driver->server.tls ? send_each(session) : send_at_once(session)))
    return mp_fail(err, MP_ERR_LOST, CR_SERVER_GONE_ERROR, "cannot send the reset: %s", strerror(errno));
  session->owed = session->flight_replies + in_transaction(session);
  mp_transaction_forget(session);
  return MP_DONE;
}

/* ---- reading ---- */

static mp_status await_reply(mp_session *session, mp_error *err);

static bool reads(const mp_session *session, unsigned reply) {
  return session->flight_replies - session->owed == reply;
}

static bool must_be_empty(const mp_session *session) {
  return reads(session, session->guard_reply) || reads(session, session->profiles_reply);
}

/* The server tells the client of a change of charset, unless a borrower told it not to. */
static mp_status reply_done(mp_session *session, mp_error *err) {
  if (--session->owed > 0)
    return await_reply(session, err);
  session->mysql->charset = session->base.charset;
  mp_mode_rest(session);
  return MP_DONE;
}

static mp_status after_result(mp_session *session, mp_error *err);

static mp_status skip_row(mp_session *session, mp_error *err);

static int skip_cont(mp_session *session, int ready) {
  return mysql_fetch_row_cont(&session->row, session->result, ready);
}

/* A statement may fail in the middle of its rows. */
static mp_status skipped(mp_session *session, mp_error *err) {
  if (session->row && must_be_empty(session))
    return mp_fail(err, MP_ERR_PROTOCOL, 0, "the reset left something of an earlier loan");
  if (session->row)
    return skip_row(session, err);
  bool failed = mysql_errno(session->mysql) != 0;
  mysql_free_result(session->result);
  session->result = NULL;
  return failed ? mp_mysql_fail(session, MP_PHASE_RESET, err) : after_result(session, err);
}

static int skip_start(mp_session *session, int ready) {
  (void)ready;
  session->cont = skip_cont;
  return mysql_fetch_row_start(&session->row, session->result);
}

/* Leaves the word to whoever minds the time, and comes back at once: a socket may nearly always be written
 * to. */
static const int pause_events = MYSQL_WAIT_WRITE;

static bool passes_over(const mp_session *session) {
  return session->row && !must_be_empty(session);
}

enum { PAUSE_AFTER_ROWS = 200 };

/* A loop, not a recursion, over the rows that are there already. */
static mp_status skip_row(mp_session *session, mp_error *err) {
  int events, rows = 0;
  do
    events = skip_start(session, 0);
  while (!events && passes_over(session) && ++rows < PAUSE_AFTER_ROWS);
  session->done = skipped;
  if (!events && passes_over(session)) {
    session->cont = skip_start;
    events = pause_events;
  }
  return mp_task_settle(session, events, err);
}

/* A server that was built without profiling, or has done away with it. */
static bool has_no_profiles(const mp_session *session) {
  unsigned code = mysql_errno(session->mysql);
  return reads(session, session->profiles_reply) && (code == ER_FEATURE_DISABLED || code == ER_PARSE_ERROR);
}

static mp_status got_result(mp_session *session, mp_error *err) {
  if (session->flag && has_no_profiles(session))
    return reply_done(session, err);
  if (session->flag)
    return mp_mysql_fail(session, MP_PHASE_RESET, err);
  if (mysql_field_count(session->mysql) == 0)
    return after_result(session, err);
  session->result = mysql_use_result(session->mysql);
  if (!session->result)
    return mp_mysql_fail(session, MP_PHASE_RESET, err);
  return skip_row(session, err);
}

static mp_status got_next(mp_session *session, mp_error *err) {
  session->flag = session->outcome > 0;
  return got_result(session, err);
}

static int next_cont(mp_session *session, int ready) {
  return mysql_next_result_cont(&session->outcome, session->mysql, ready);
}

static int next_start(mp_session *session, int ready) {
  (void)ready;
  session->cont = next_cont;
  return mysql_next_result_start(&session->outcome, session->mysql);
}

/* An init SQL may be a CALL with several results. The pause also keeps them from nesting here. */
static mp_status after_result(mp_session *session, mp_error *err) {
  if (!mysql_more_results(session->mysql))
    return reply_done(session, err);
  session->cont = next_start;
  session->done = got_next;
  return mp_task_settle(session, pause_events, err);
}

static int reply_cont(mp_session *session, int ready) {
  return mysql_read_query_result_cont(&session->flag, session->mysql, ready);
}

/* Each command of the flight began to count its packets anew. */
static int reply_start(mp_session *session, int ready) {
  (void)ready;
  session->mysql->net.pkt_nr = session->mysql->net.compress_pkt_nr = 1;
  session->cont = reply_cont;
  return mysql_read_query_result_start(&session->flag, session->mysql);
}

static mp_status read_reply(mp_session *session, mp_error *err) {
  session->done = got_result;
  return mp_task_settle(session, reply_start(session, 0), err);
}

/* One read takes all that is there. When that ended with the reply before, a further attempt would be wasted;
   under TLS there may be more in OpenSSL's hands. */
static mp_status await_reply(mp_session *session, mp_error *err) {
  if (session->driver->server.tls || mp_session_has_cached(session))
    return read_reply(session, err);
  session->cont = reply_start;
  session->done = got_result;
  return mp_task_settle(session, MYSQL_WAIT_READ, err);
}

mp_status mp_reset_read(mp_session *session, mp_error *err) {
  mp_neighbours_forget(session);
  return session->owed > 0 ? read_reply(session, err) : MP_DONE;
}
