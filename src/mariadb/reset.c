/* The reset: the flight is sent at release, and its replies are read at the next checkout.

   mysql_reset_connection() is of no use: it never parses the OK packet, after which the
   client's idea of charset and flags is the last borrower's. */
#include "reset.h"

#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <string.h>

#include "call.h"
#include "familiar.h"
#include "flight.h"
#include "mode.h"
#include "packets.h"
#include "peek.h"
#include "prepared.h"
#include "tls.h"
#include "transaction.h"

/* ---- sending ---- */

/* The packet of a ROLLBACK, for a session that is in a transaction. The reset would undo an
   ordinary one by itself; but an XA transaction that is prepared it takes from the session and
   breaks: then this fails, and the session is closed, which leaves the transaction whole. */
static const char rollback[] = "\x09\0\0\0\x03ROLLBACK";
enum { ROLLBACK_LENGTH = sizeof rollback - 1 };

static bool is_in_transaction(const mp_session *session) {
  return session->mysql->server_status & SERVER_STATUS_IN_TRANS;
}

/* The length of the next piece of the flight: as many packets as go at once, or a single one that is
   longer. */
static size_t next_piece(mp_session *session) {
  size_t left = session->flight.packets.length - session->reset.sent, length = 0;
  if (left <= MP_PACKETS_AT_ONCE) {
    session->reset.unsent = 0;
    return left;
  }
  const char *at = session->flight.packets.data + session->reset.sent;
  while (length == 0 || length + mp_packet_size(at + length) <= MP_PACKETS_AT_ONCE) {
    length += mp_packet_size(at + length);
    session->reset.unsent--;
  }
  return length;
}

static mp_status send_piece(mp_session *session, bool roll_back, size_t length, mp_error *err) {
  struct iovec parts[] = {
      {.iov_base = (char *)rollback, .iov_len = roll_back ? ROLLBACK_LENGTH : 0},
      {.iov_base = session->flight.packets.data + session->reset.sent, .iov_len = length},
  };
  session->reset.sent += length;
  if (mp_packets_send(session, parts, 2))
    return MP_DONE;
  return mp_fail(err, MP_ERR_LOST, CR_SERVER_GONE_ERROR, "cannot send the reset: %s",
                 mp_packets_reason(errno));
}

/* Only for a session at rest: the server would take the flight for part of something else. The first packet
   is a short one, so what is sent here is one piece; the rest follows when the replies are read. */
static mp_status send_flight(mp_session *session, mp_error *err) {
  bool roll_back = is_in_transaction(session);
  session->reset.sent = 0;
  session->reset.unsent = session->flight.replies;
  if (send_piece(session, roll_back, next_piece(session), err) != MP_DONE)
    return MP_FAILED;
  session->reset.replies_pending = session->flight.replies + roll_back;
  return MP_DONE;
}

/* The flight may have been sent already, behind the last statement. */
mp_status mp_reset_send(mp_session *session, mp_error *err) {
  if (session->base.lost_by_reset)
    return mp_fail(err, MP_ERR_PROTOCOL, ER_NOT_SUPPORTED_YET,
                   "the server would take no notice of wsrep_sync_wait after a reset");
  mp_prepared_end(session);
  mp_mode_drop(session);
  mp_call_may_block_until(session, 0);
  if (!mp_reset_is_pending(session) && send_flight(session, err) != MP_DONE)
    return MP_FAILED;
  mp_transaction_before_statement(session, MP_EFFECT_ROLLBACK);
  mp_transaction_drop(session);
  return session->reset.unsent > 0 ? MP_WAIT : MP_DONE;
}

/* ---- reading ---- */

static bool is_reading(const mp_session *session, unsigned reply) {
  return session->flight.replies - session->reset.replies_pending == reply;
}

static bool is_reading_seal(const mp_session *session) {
  return session->flight.seal_reply > 0 && is_reading(session, session->flight.seal_reply);
}

static bool may_have_no_row(const mp_session *session) {
  return is_reading(session, session->flight.guard_reply) ||
         is_reading(session, session->flight.profiles_reply) || is_reading_seal(session);
}

/* The replies to init_connect and to the statements of on_connect may be of any kind. */
static bool may_be_anything(const mp_session *session) {
  return session->flight.seal_reply > 0 && session->reset.replies_pending > 1 &&
         session->flight.replies - session->reset.replies_pending >= session->flight.own_replies &&
         session->reset.replies_pending <= session->flight.replies;
}

/* The result has the columns of the reply that is due. */
static bool is_due(const mp_session *session) {
  unsigned columns = mysql_field_count(session->mysql);
  if (may_be_anything(session))
    return true;
  if (is_reading_seal(session))
    return columns == 1 && strcmp(session->mysql->fields[0].name, MP_SEAL) == 0;
  if (is_reading(session, session->flight.profiles_reply))
    return columns == 3;
  return columns == (is_reading(session, session->flight.guard_reply) ? 1 : 0);
}

/* From here on each answer would be another statement's. */
static mp_status fail_shifted(mp_error *err) {
  return mp_fail(err, MP_ERR_PROTOCOL, 0, "the replies to a reset are not those that were asked for");
}

static mp_call_after after_reply, after_next;

/* Each command of the flight began to count its packets anew. */
static mp_status read_reply_when(mp_session *session, int events) {
  session->mysql->net.pkt_nr = session->mysql->net.compress_pkt_nr = 1;
  return mp_call_next_when(session, events, &mp_call_reply, after_reply);
}

/* One read takes all that is there. When that ended with the reply before, a further attempt would be wasted;
   under TLS there may be more in OpenSSL's hands. */
static mp_status await_reply(mp_session *session) {
  bool may_be_here = session->driver->server.tls || mp_call_has_cached(session);
  return read_reply_when(session, may_be_here ? 0 : MYSQL_WAIT_READ);
}

/* ---- the rest of a long flight ----
   It is sent piece by piece, each behind the replies to the one before: so the server never waits for
   somebody to read its replies while the client waits for it to read. */

/* Sends a statement that fits into no socket: only those of the pool's user are as long. */
static int long_start(mp_session *session) {
  const char *packet = session->flight.packets.data + session->reset.sent;
  size_t length = mp_packet_size(packet);
  session->reset.sent += length;
  return mysql_send_query_start(&session->call.outcome, session->mysql, packet + 5, length - 5);
}

static int long_cont(mp_session *session, int ready) {
  return mysql_send_query_cont(&session->call.outcome, session->mysql, ready);
}

static const mp_call_kind send_long = {long_start, long_cont};

static mp_status after_long(mp_session *session, mp_error *err) {
  return session->call.outcome ? mp_mysql_fail(session, MP_PHASE_RESET, err) : await_reply(session);
}

static mp_status send_on(mp_session *session, mp_error *err) {
  size_t length = next_piece(session);
  if (length > MP_PACKETS_AT_ONCE)
    return mp_call_next(session, &send_long, after_long);
  if (send_piece(session, false, length, err) != MP_DONE)
    return MP_FAILED;
  return await_reply(session);
}

/* ---- the end of a reply ---- */

static mp_status end_reply(mp_session *session, mp_error *err) {
  if (--session->reset.replies_pending > 0)
    return session->reset.replies_pending == session->reset.unsent ? send_on(session, err)
                                                                   : await_reply(session);
  mp_mode_start_over(session);
  if (mp_session_has_more(session))
    return fail_shifted(err);
  mp_familiar_end(session);
  return MP_DONE;
}

/* A wait for this lets others look at the clock, and ends at once: a socket may nearly always be written
   to. */
static const int pause_events = MYSQL_WAIT_WRITE;

/* An init SQL may be a CALL with several results, without end maybe. */
static mp_status end_result(mp_session *session, mp_error *err) {
  if (!mysql_more_results(session->mysql))
    return end_reply(session, err);
  if (!may_be_anything(session))
    return fail_shifted(err);
  return mp_call_next_when(session, pause_events, &mp_call_next_result, after_next);
}

/* ---- rows ---- */

enum { PAUSE_AFTER_ROWS = 200 };

/* A row of the guard, of SHOW PROFILES, or of the seal. */
static mp_status fail_unclean(mp_session *session, mp_error *err) {
  const char *cell = is_reading(session, session->flight.guard_reply) ? session->row[0] : NULL;
  if (session->driver->server.need == MP_NEED_NOTHING || !cell ||
      mp_flight_is_writable(cell) == session->base.writable)
    return mp_fail(err, MP_ERR_PROTOCOL, 0, "the reset left something of an earlier loan");
  return mp_fail(err, MP_ERR_PROTOCOL, MP_ER_READ_ONLY_MODE,
                 session->base.writable ? "the server has become read-only" : "the server may write by now");
}

/* A statement may fail in the middle of its rows. */
static mp_status after_row(mp_session *session, mp_error *err) {
  if (session->row && may_have_no_row(session))
    return fail_unclean(session, err);
  bool pause = session->row && ++session->reset.rows % PAUSE_AFTER_ROWS == 0;
  if (session->row)
    return mp_call_next_when(session, pause ? pause_events : 0, &mp_call_row, after_row);
  bool failed = mysql_errno(session->mysql) != 0;
  mysql_free_result(session->result);
  session->result = NULL;
  return failed ? mp_mysql_fail(session, MP_PHASE_RESET, err) : end_result(session, err);
}

static mp_status begin_result(mp_session *session, mp_error *err) {
  if (!is_due(session))
    return fail_shifted(err);
  if (mysql_field_count(session->mysql) == 0)
    return end_result(session, err);
  session->result = mysql_use_result(session->mysql);
  if (!session->result)
    return mp_mysql_fail(session, MP_PHASE_RESET, err);
  session->reset.rows = 0;
  return mp_call_next(session, &mp_call_row, after_row);
}

/* ---- the beginning of a reply ---- */

/* A server that was built without profiling, or has done away with it. */
static bool has_no_profiles(const mp_session *session) {
  unsigned code = mysql_errno(session->mysql);
  return is_reading(session, session->flight.profiles_reply) &&
         (code == ER_FEATURE_DISABLED || code == ER_PARSE_ERROR);
}

static mp_status after_reply(mp_session *session, mp_error *err) {
  if (session->call.flag && has_no_profiles(session))
    return end_reply(session, err);
  return session->call.flag ? mp_mysql_fail(session, MP_PHASE_RESET, err) : begin_result(session, err);
}

static mp_status after_next(mp_session *session, mp_error *err) {
  return session->call.outcome > 0 ? mp_mysql_fail(session, MP_PHASE_RESET, err) : begin_result(session, err);
}

/* ---- all replies at once ---- */

static int look_start(mp_session *session) {
  session->call.outcome = mp_familiar_look(session);
  return session->call.outcome == MP_WAIT ? MYSQL_WAIT_READ : 0;
}

static int look_cont(mp_session *session, int ready) {
  (void)ready;
  return look_start(session);
}

static const mp_call_kind look = {look_start, look_cont};

static mp_status after_look(mp_session *session, mp_error *err) {
  if (session->call.outcome == MP_DONE) {
    session->reset.replies_pending = 1;
    return end_reply(session, err);
  }
  mp_familiar_begin(session);
  return read_reply_when(session, 0);
}

mp_status mp_reset_read(mp_session *session, mp_error *err) {
  mp_tls_clear_errors(session);
  return mp_reset_is_pending(session) ? mp_call_begin(session, &look, after_look, err) : MP_DONE;
}
