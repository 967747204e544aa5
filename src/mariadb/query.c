/* Statements of the text protocol: send, first reply, rows, further results. */
#include "query.h"

#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <string.h>

#include "call.h"
#include "charset.h"
#include "flight.h"
#include "mode.h"
#include "packets.h"
#include "prepared.h"
#include "reset.h"
#include "tls.h"
#include "transaction.h"

/* libmariadb does not look into the answer: 0, two numbers that are 0, the status in two bytes (MariaDB
   knowledge base, "OK_Packet"). */
static void read_status(MYSQL *mysql) {
  const unsigned char *packet = mysql->net.read_pos;
  if (packet && mysql->packet_length >= 5 && packet[0] == 0 && packet[1] == 0 && packet[2] == 0)
    mysql->server_status = packet[3] | (unsigned)packet[4] << 8;
}

static mp_status after_ping_for_status(mp_session *session, mp_error *err) {
  if (session->call.outcome)
    mp_transaction_after_failure(session, mysql_errno(session->mysql));
  else
    read_status(session->mysql);
  mp_mode_heed(session, true);
  *err = session->text.failure;
  return MP_FAILED;
}

/* Asks by a ping what became of the transaction, for an error packet has no status. A ping changes nothing,
   not even the warnings that the program may want to see. */
static mp_status ask(mp_session *session, mp_error *err) {
  session->text.failure = *err;
  *err = (mp_error){0};
  mp_call_expect_answer(session);
  return mp_call_next(session, &mp_call_ping, after_ping_for_status);
}

mp_status mp_query_after_failure(mp_session *session, mp_error *err) {
  mp_transaction_after_failure(session, err->code);
  if (err->kind != MP_ERR_SERVER)
    return MP_FAILED;
  if (session->transaction.effect == MP_EFFECT_PARTIAL)
    err->executed = MP_EXECUTED_UNKNOWN;
  if (!mp_transaction_is_in_doubt(session) || mp_reset_is_pending(session))
    return MP_FAILED;
  return ask(session, err);
}

static mp_status after_error(mp_session *session, mp_phase phase, mp_error *err) {
  mp_mode_heed(session, true);
  mp_mysql_fail(session, phase, err);
  return mp_query_after_failure(session, err);
}

/* Opens the result that the reply announced; reading it comes later. */
static mp_status open_result(mp_session *session, mp_error *err) {
  if (mysql_field_count(session->mysql) == 0)
    return MP_DONE;
  session->result = mysql_use_result(session->mysql);
  return session->result ? MP_DONE : mp_mysql_fail(session, MP_PHASE_RESULT, err);
}

static mp_status after_reply(mp_session *session, mp_error *err) {
  if (session->call.flag)
    return after_error(session, MP_PHASE_REPLY, err);
  mp_mode_heed(session, false);
  mp_charset_after_reply(session);
  mp_transaction_after_reply(session);
  if (mp_flight_is_recording(session) && !session->mode.asking)
    mp_flight_add(session, session->text.sql, session->text.length);
  return session->mode.asking ? mp_mode_read_answer(session) : open_result(session, err);
}

/* The answer to a statement is never there at once: an attempt to read it would be wasted. */
static mp_status await_reply(mp_session *session) {
  return mp_call_next_when(session, mp_call_may_block(session) ? 0 : MYSQL_WAIT_READ, &mp_call_reply,
                           after_reply);
}

/* ---- the reset behind the last statement ----
   Where nothing will follow a statement but the reset, that goes out in the same send: the server does both
   without a pause between, and the replies are there when the next loan looks for them. From then on nothing
   is sent before they have been read. */

/* The server has read all that came before, so a short statement cannot block. */
static bool is_short(size_t length) {
  return length < 2048;
}

/* While autocommit is off each statement leaves a transaction. */
static bool may_take_flight(const mp_session *session, const char *sql, size_t length) {
  unsigned status = session->mysql->server_status;
  return is_short(length) && length + session->flight.packets.length < MP_PACKETS_AT_ONCE &&
         !mp_flight_is_recording(session) && !session->base.lost_by_reset &&
         (status & SERVER_STATUS_AUTOCOMMIT) &&
         mp_sql_may_be_followed(sql, length, status & SERVER_STATUS_IN_TRANS);
}

static struct iovec flight_of(const mp_session *session) {
  return (struct iovec){session->flight.packets.data, session->flight.packets.length};
}

/* Only where nothing at all was sent the statement is known not to run. */
static mp_status fail_send(mp_error *err) {
  int reason = errno;
  err->phase = MP_PHASE_SEND;
  return mp_fail(err, MP_ERR_LOST, reason ? CR_SERVER_GONE_ERROR : CR_SERVER_LOST,
                 "cannot send the statement: %s", mp_packets_reason(reason));
}

static mp_status send_flight(mp_session *session, mp_error *err) {
  struct iovec flight = flight_of(session);
  if (!mp_packets_send(session, &flight, 1))
    return fail_send(err);
  mp_reset_note_sent(session);
  return await_reply(session);
}

/* Does as mysql_send_query would, which knows nothing of what is to follow. */
static mp_status send_with_flight(mp_session *session, mp_error *err) {
  MYSQL *mysql = session->mysql;
  size_t size = session->text.length + 1;
  char header[] = {(char)size, (char)(size >> 8), 0, 0, COM_QUERY};
  struct iovec parts[] = {
      {header, sizeof header}, {(char *)session->text.sql, session->text.length}, flight_of(session)};
  if (!mp_packets_send(session, parts, sizeof parts / sizeof *parts))
    return fail_send(err);
  mysql->net.last_errno = 0;
  mysql->net.pkt_nr = mysql->net.compress_pkt_nr = 1;
  mp_reset_note_sent(session);
  return await_reply(session);
}

/* Under TLS libmariadb has sent the statement, and the flight follows. */
static mp_status after_send(mp_session *session, mp_error *err) {
  if (session->call.outcome)
    return mp_mysql_fail(session, MP_PHASE_SEND, err);
  return session->text.takes_flight ? send_flight(session, err) : await_reply(session);
}

/* ---- sending ---- */

/* Fails for what libmariadb would find out too late, or answer with a lost session. */
static mp_status check_ready(mp_session *session, mp_sql_effect effect, size_t length, mp_error *err) {
  mp_tls_clear_errors(session);
  if (session->fork_generation != mp_fork_generation())
    return mp_fail(err, MP_ERR_LOST, CR_SERVER_GONE_ERROR, "the connection belongs to the parent process");
  if (mp_reset_is_pending(session))
    return mp_fail(err, MP_ERR_PROTOCOL, CR_COMMANDS_OUT_OF_SYNC, "the session is being reset");
  if (session->result || mp_prepared_is_executing(session) || mysql_more_results(session->mysql))
    return mp_fail(err, MP_ERR_PROTOCOL, CR_COMMANDS_OUT_OF_SYNC, "a result has not been read to its end");
  if (effect != MP_EFFECT_ROLLBACK && mp_transaction_check_alive(session, err) != MP_DONE)
    return MP_FAILED;
  if (length + 1 > session->base.max_packet)
    return mp_fail(err, MP_ERR_SERVER, ER_NET_PACKET_TOO_LARGE,
                   "a statement of %zu bytes exceeds the server's max_allowed_packet of %zu", length,
                   session->base.max_packet);
  if (mp_flight_is_recording(session) && !mp_flight_may_take(length))
    return mp_fail(
        err, MP_ERR_SERVER, ER_NET_PACKET_TOO_LARGE,
        "on_connect: each reset repeats its statements, and one of %zu bytes is too long for that: "
        "it takes less than 16 MiB",
        length);
  return MP_DONE;
}

mp_status mp_query_check_ready(mp_session *session, mp_sql_effect effect, size_t length, mp_error *err) {
  if (check_ready(session, effect, length, err) == MP_DONE)
    return MP_DONE;
  err->phase = MP_PHASE_SEND;
  return MP_FAILED;
}

/* Notes what matters once the statement has ended. */
void mp_query_note(mp_session *session, mp_sql_effect effect, bool may_set_charset) {
  mp_transaction_before_statement(session, effect);
  mp_charset_before_statement(session, effect, may_set_charset);
  session->executed = NULL;
  mp_mode_drop(session);
}

void mp_query_head(statement_head *head, const char *sql, size_t length) {
  head->length = length < sizeof head->text ? length : sizeof head->text;
  memcpy(head->text, sql, head->length);
}

/* A short statement needs no resumable call, which costs a change of stacks. Under TLS no other may be
   used. */
static mp_status send(mp_session *session, mp_error *err) {
  if (session->driver->server.tls || !is_short(session->text.length))
    return mp_call_next(session, &mp_call_send, after_send);
  if (session->text.takes_flight)
    return send_with_flight(session, err);
  session->call.outcome = mysql_send_query(session->mysql, session->text.sql, session->text.length);
  return after_send(session, err);
}

mp_status mp_query_send(mp_session *session, const char *sql, size_t length, bool last, mp_error *err) {
  mp_sql_effect effect = mp_sql_effect_of(sql, length);
  if (mp_query_check_ready(session, effect, length, err) != MP_DONE)
    return MP_FAILED;
  mp_query_note(session, effect, mp_sql_may_set_charset(sql, length, effect));
  session->text.sql = sql;
  session->text.length = length;
  session->text.takes_flight = last && may_take_flight(session, sql, length);
  mp_query_head(&session->text.head, sql, length);
  return mp_call_go_on(session, send(session, err), err);
}

static void close_result(mp_session *session) {
  mysql_free_result(session->result);
  session->result = NULL;
}

static mp_status after_row(mp_session *session, mp_error *err) {
  if (session->row) {
    *session->fetched = (mp_row){
        .cells = session->row, .lengths = mysql_fetch_lengths(session->result), .arrived = session->arrived};
    return MP_DONE;
  }
  if (mysql_errno(session->mysql))
    mp_mysql_fail(session, MP_PHASE_RESULT, err);
  mp_mode_heed(session, err->kind != MP_ERR_NONE);
  close_result(session);
  return err->kind == MP_ERR_NONE ? MP_DONE : mp_query_after_failure(session, err);
}

/* The resumable call costs a change of stacks: not for what is here already. */
mp_status mp_query_fetch(mp_session *session, mp_row *row, mp_error *err) {
  *row = (mp_row){0};
  if (!session->result)
    return MP_DONE;
  session->fetched = row;
  session->arrived = !mp_call_has_packet(session);
  if (!session->arrived) {
    session->row = mysql_fetch_row(session->result);
    return mp_call_go_on(session, after_row(session, err), err);
  }
  mp_tls_clear_errors(session);
  return mp_call_begin(session, &mp_call_row, after_row, err);
}

static mp_status after_next(mp_session *session, mp_error *err) {
  if (session->call.outcome > 0)
    return after_error(session, MP_PHASE_RESULT, err);
  mp_mode_heed(session, false);
  return open_result(session, err);
}

mp_status mp_query_next_result(mp_session *session, bool *more, mp_error *err) {
  *more = mysql_more_results(session->mysql);
  if (!*more)
    return MP_DONE;
  mp_tls_clear_errors(session);
  return mp_call_begin(session, &mp_call_next_result, after_next, err);
}

static mp_status after_ping(mp_session *session, mp_error *err) {
  mp_mode_heed(session, session->call.outcome);
  return session->call.outcome ? mp_mysql_fail(session, MP_PHASE_REPLY, err) : MP_DONE;
}

mp_status mp_query_ping(mp_session *session, mp_error *err) {
  if (mp_query_check_ready(session, MP_EFFECT_ROLLBACK, 0, err) != MP_DONE)
    return MP_FAILED;
  mp_call_expect_answer(session);
  return mp_call_begin(session, &mp_call_ping, after_ping, err);
}

mp_status mp_query_ask_mode(mp_session *session, mp_error *err) {
  static const char question[] = "SELECT @@sql_mode, @@character_set_client, @@character_set_connection";
  session->mode.asking = true;
  mp_status status = mp_query_send(session, question, sizeof question - 1, false, err);
  session->mode.asking &= status != MP_FAILED;
  return status;
}

void mp_query_summary(const mp_session *session, mp_summary *summary) {
  MYSQL *mysql = session->mysql;
  bool rows = session->result != NULL;
  *summary = (mp_summary){
      .columns = rows ? mysql_num_fields(session->result) : 0,
      .affected_rows = rows ? 0 : mysql_affected_rows(mysql),
      .insert_id = rows ? 0 : mysql_insert_id(mysql),
      .warning_count = mysql_warning_count(mysql),
      .info = rows ? NULL : mysql_info(mysql),
  };
}
