/* The reset: what is sent at release and read at the next checkout.

   COM_RESET_CONNECTION clears nearly all of a session, but leaves the database, the role and
   the profiles, and sets variables to the server's current globals, not to what the session
   began with. So more packets follow it in the same flight:

     COM_RESET_CONNECTION
     COM_INIT_DB           the database, and with it character_set_database
     SET NAMES …           MySQL forgets the charset of the handshake; profiles
     SET ROLE …            if the account has roles to choose from
     init_connect, init_sql

   mysql_reset_connection() is of no use: it never parses the OK packet, after which the
   client's idea of charset and flags is the last borrower's. */
#include <errmsg.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "scan.h"
#include "session.h"

/* ---- building the flight ---- */

/* Header: three bytes of length, a sequence number, the command (MariaDB knowledge base,
   "0-packet"). */
static void add_packet(mp_session *session, enum enum_server_command command, const char *text, size_t length) {
  size_t size = length + 1;
  char header[5] = {(char)size, (char)(size >> 8), (char)(size >> 16), 0, (char)command};
  mp_buffer_add(&session->flight, header, sizeof header);
  mp_buffer_add(&session->flight, text, length);
  session->flight_replies++;
}

static void add_query(mp_session *session, const char *sql) {
  add_packet(session, COM_QUERY, sql, strlen(sql));
}

/* Setting profiling_history_size to 0 is the only way to drop the texts of statements that
   SHOW PROFILES would give to the next borrower. */
static void add_variables(mp_session *session) {
  char sql[256];
  snprintf(sql, sizeof sql,
           "SET NAMES %s COLLATE %s, profiling_history_size = 0, profiling_history_size = DEFAULT",
           session->driver->server.charset, session->base.collation);
  add_query(session, sql);
}

static void add_role(mp_session *session) {
  static const char none[] = "SET ROLE NONE";
  const char *role = session->base.role;
  mp_buffer sql = {0};
  if (!session->base.has_roles)
    return;
  if (role) {
    mp_buffer_add(&sql, "SET ROLE ", 9);
    mp_encode_identifier(&sql, role, strlen(role), (mp_sql_mode){.utf8 = true});
    add_packet(session, COM_QUERY, sql.data, sql.length);
  } else {
    add_packet(session, COM_QUERY, none, sizeof none - 1);
  }
  session->flight.failed |= sql.failed;
  mp_buffer_free(&sql);
}

/* init_connect may hold several statements, which this client refuses to send as one. */
static void add_init_connect(mp_session *session) {
  const char *text = session->base.init_connect, *end = text + strlen(text);
  mp_scanner scanner;
  mp_scanner_init(&scanner, text, strlen(text), false);
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
  add_packet(session, COM_RESET_CONNECTION, NULL, 0);
  if (server->database)
    add_packet(session, COM_INIT_DB, server->database, strlen(server->database));
  add_variables(session);
  add_role(session);
  add_init_connect(session);
  for (size_t i = 0; i < server->init_sql_count; i++)
    add_query(session, server->init_sql[i]);
  if (session->flight.failed)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  return MP_DONE;
}

/* ---- sending ---- */

/* One system call for all of it: half the cost of a call for each command. Only for a session
   at rest: the server would take the flight for part of something else. */
mp_status mp_reset_send(mp_session *session, mp_error *err) {
  const mp_buffer *flight = &session->flight;
  ssize_t sent = send(mysql_get_socket(session->mysql), flight->data, flight->length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent != (ssize_t)flight->length)
    return mp_fail(err, MP_ERR_LOST, CR_SERVER_GONE_ERROR, "cannot send the reset: %s", strerror(errno));
  session->owed = session->flight_replies;
  session->doomed = false;
  return MP_DONE;
}

/* ---- reading ---- */

static mp_status read_reply(mp_session *session, mp_error *err);

/* The client's db is right once the replies are read. Without a database in the baseline
   nothing could take away the one that a borrower chose. */
static mp_status finished(mp_session *session, mp_error *err) {
  const char *database = session->mysql->db;
  if (!session->driver->server.database && database && *database) {
    err->phase = MP_PHASE_RESET;
    return mp_fail(err, MP_ERR_PROTOCOL, 0, "no command unsets a default database");
  }
  return MP_DONE;
}

static mp_status reply_done(mp_session *session, mp_error *err) {
  session->owed--;
  return session->owed > 0 ? read_reply(session, err) : finished(session, err);
}

static mp_status after_result(mp_session *session, mp_error *err);

static int skip_cont(mp_session *session, int ready) {
  return mysql_free_result_cont(session->result, ready);
}

static mp_status skipped(mp_session *session, mp_error *err) {
  session->result = NULL;
  return after_result(session, err);
}

static mp_status got_result(mp_session *session, mp_error *err) {
  if (session->flag)
    return mp_mysql_fail(session, MP_PHASE_RESET, err);
  if (mysql_field_count(session->mysql) == 0)
    return after_result(session, err);
  session->result = mysql_use_result(session->mysql);
  if (!session->result)
    return mp_mysql_fail(session, MP_PHASE_RESET, err);
  session->cont = skip_cont;
  session->done = skipped;
  return mp_task_settle(session, mysql_free_result_start(session->result), err);
}

static mp_status got_next(mp_session *session, mp_error *err) {
  session->flag = session->outcome > 0;
  return got_result(session, err);
}

static int next_cont(mp_session *session, int ready) {
  return mysql_next_result_cont(&session->outcome, session->mysql, ready);
}

/* An init SQL may be a CALL with several results. */
static mp_status after_result(mp_session *session, mp_error *err) {
  if (!mysql_more_results(session->mysql))
    return reply_done(session, err);
  session->cont = next_cont;
  session->done = got_next;
  return mp_task_settle(session, mysql_next_result_start(&session->outcome, session->mysql), err);
}

static int reply_cont(mp_session *session, int ready) {
  return mysql_read_query_result_cont(&session->flag, session->mysql, ready);
}

/* Each command of the flight began to count its packets anew. */
static mp_status read_reply(mp_session *session, mp_error *err) {
  session->mysql->net.pkt_nr = session->mysql->net.compress_pkt_nr = 1;
  session->cont = reply_cont;
  session->done = got_result;
  return mp_task_settle(session, mysql_read_query_result_start(&session->flag, session->mysql), err);
}

mp_status mp_reset_read(mp_session *session, mp_error *err) {
  return session->owed > 0 ? read_reply(session, err) : MP_DONE;
}
