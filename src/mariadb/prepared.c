/* Prepared statements of the binary protocol. They are known by number: the session that made
   them may be gone when the number is used. */
#include "prepared.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <stdlib.h>
#include <string.h>

#include "binary.h"
#include "bulk.h"
#include "call.h"
#include "charset.h"
#include "mode.h"
#include "peek.h"
#include "preparing.h"
#include "query.h"
#include "tls.h"
#include "transaction.h"

static prepared *find(const mp_session *session, uint64_t id) {
  prepared *statement = session->prepared.first;
  while (statement && statement->id != id)
    statement = statement->next;
  return statement;
}

static void prepared_free(prepared *statement) {
  mysql_stmt_close(statement->stmt);
  free(statement->values);
  free(statement->scratch);
  free(statement->binds);
  free(statement);
}

/* A failure while rows are fetched libmariadb tells at the connection only. */
static mp_status stmt_fail(mp_session *session, const prepared *statement, mp_phase phase, mp_error *err) {
  MYSQL_STMT *stmt = statement->stmt;
  unsigned code = mysql_stmt_errno(stmt);
  mp_mode_heed(session, true);
  if (code == 0)
    mp_mysql_fail(session, phase, err);
  else
    mp_say(code, mysql_stmt_error(stmt), mysql_stmt_sqlstate(stmt), phase, err);
  return mp_query_after_failure(session, err);
}

/* ---- prepare ---- */

static mp_status keep(mp_session *session, prepared *statement, mp_error *err) {
  statement->parameters = (unsigned)mysql_stmt_param_count(statement->stmt);
  statement->binds = calloc(statement->parameters + 1, sizeof *statement->binds);
  if (!statement->binds)
    return mp_fail(err, MP_ERR_PROTOCOL, CR_OUT_OF_MEMORY, "out of memory");
  statement->next = session->prepared.first;
  session->prepared.first = statement;
  session->prepared.preparing = NULL;
  session->prepared.newest_id = statement->id;
  return MP_DONE;
}

static mp_status after_prepare(mp_session *session, mp_error *err) {
  prepared *statement = session->prepared.preparing;
  mp_status status;
  if (session->call.outcome)
    status = stmt_fail(session, statement, MP_PHASE_REPLY, err);
  else if (!mp_preparing_is_undamaged(session, statement->stmt))
    status = mp_say(CR_MALFORMED_PACKET, "the reply to a prepare is damaged", "HY000", MP_PHASE_REPLY, err);
  else
    status = keep(session, statement, err);
  if (status == MP_FAILED) {
    session->prepared.preparing = NULL;
    prepared_free(statement);
  }
  return status;
}

static int prepare_start(mp_session *session) {
  return mysql_stmt_prepare_start(&session->call.outcome, session->prepared.preparing->stmt,
                                  session->text.sql, session->text.length);
}

static int prepare_cont(mp_session *session, int ready) {
  return mysql_stmt_prepare_cont(&session->call.outcome, session->prepared.preparing->stmt, ready);
}

static const mp_call_kind prepare = {prepare_start, prepare_cont};

mp_status mp_prepared_prepare(mp_session *session, const char *sql, size_t length, mp_error *err) {
  if (mp_query_check_ready(session, MP_EFFECT_WHOLE, length, err) != MP_DONE)
    return MP_FAILED;
  prepared *statement = calloc(1, sizeof *statement);
  MYSQL_STMT *stmt = statement ? mysql_stmt_init(session->mysql) : NULL;
  if (!stmt) {
    free(statement);
    return mp_fail(err, MP_ERR_PROTOCOL, CR_OUT_OF_MEMORY, "out of memory");
  }
  statement->stmt = stmt;
  statement->id = ++session->driver->last_statement;
  mp_query_head(&statement->head, sql, length);
  session->executed = NULL;
  session->text.head = statement->head;
  statement->effect = mp_sql_effect_of(sql, length);
  statement->may_set_charset = mp_sql_may_set_charset(sql, length, statement->effect);
  mp_transaction_before_statement(session, MP_EFFECT_WHOLE); /* preparing does nothing */
  session->prepared.preparing = statement;
  mp_preparing_begin(session);
  mp_call_expect_answer(session);
  session->text.sql = sql;
  session->text.length = length;
  return mp_call_begin(session, &prepare, after_prepare, err);
}

uint64_t mp_prepared_last(const mp_session *session) {
  return session->prepared.newest_id;
}

int mp_prepared_parameters(const mp_session *session, uint64_t id) {
  const prepared *statement = find(session, id);
  return statement ? (int)statement->parameters : -1;
}

/* ---- execute ---- */

static void bind_value(MYSQL_BIND *bind, const mp_value *value) {
  switch (value->kind) {
  case MP_VALUE_NULL:
    bind->buffer_type = MYSQL_TYPE_NULL;
    break;
  case MP_VALUE_INTEGER:
  case MP_VALUE_UNSIGNED:
    bind->buffer_type = MYSQL_TYPE_LONGLONG;
    bind->buffer = (void *)&value->as.integer;
    break;
  case MP_VALUE_FLOAT:
    bind->buffer_type = MYSQL_TYPE_DOUBLE;
    bind->buffer = (void *)&value->as.number;
    break;
  default:
    bind->buffer_type = value->kind == MP_VALUE_BINARY ? MYSQL_TYPE_BLOB : MYSQL_TYPE_VAR_STRING;
    bind->buffer = (void *)value->as.text.bytes;
    bind->buffer_length = value->as.text.length;
  }
}

/* The columns of a CALL are known only now, and those of a further result are others. */
static mp_status make_room(prepared *statement, mp_error *err) {
  unsigned columns = mysql_stmt_field_count(statement->stmt);
  if (columns <= statement->room)
    return MP_DONE;
  mp_value *values = realloc(statement->values, columns * sizeof *values);
  statement->values = values ? values : statement->values;
  char *scratch = realloc(statement->scratch, mp_binary_scratch(columns));
  statement->scratch = scratch ? scratch : statement->scratch;
  if (!values || !scratch)
    return mp_fail(err, MP_ERR_PROTOCOL, CR_OUT_OF_MEMORY, "out of memory");
  statement->room = columns;
  return MP_DONE;
}

/* Without rows the statement is over, unless further results follow. */
static mp_status open_rows(mp_session *session, mp_error *err) {
  prepared *statement = session->prepared.executing;
  session->prepared.in_rows = mysql_stmt_field_count(statement->stmt) > 0;
  if (!session->prepared.in_rows && !mysql_stmt_more_results(statement->stmt))
    session->prepared.executing = NULL;
  return make_room(statement, err);
}

static mp_status after_execute(mp_session *session, mp_error *err) {
  prepared *statement = session->prepared.executing;
  if (session->call.outcome) {
    session->prepared.executing = NULL;
    unsigned code = mysql_stmt_errno(statement->stmt);
    mp_phase phase = code == CR_SERVER_GONE_ERROR ? MP_PHASE_SEND : MP_PHASE_REPLY;
    return stmt_fail(session, statement, phase, err);
  }
  mp_mode_heed(session, false);
  mp_charset_after_reply(session);
  mp_transaction_after_reply(session);
  return open_rows(session, err);
}

static int execute_start(mp_session *session) {
  return mysql_stmt_execute_start(&session->call.outcome, session->prepared.executing->stmt);
}

static int execute_cont(mp_session *session, int ready) {
  return mysql_stmt_execute_cont(&session->call.outcome, session->prepared.executing->stmt, ready);
}

static const mp_call_kind execute = {execute_start, execute_cont};

static mp_status bind(mp_session *session, prepared *statement, const mp_value *values, size_t rows,
                      mp_error *err) {
  unsigned array_size = (unsigned)rows;
  memset(statement->binds, 0, statement->parameters * sizeof *statement->binds);
  mysql_stmt_attr_set(statement->stmt, STMT_ATTR_ARRAY_SIZE, &array_size);
  if (rows > 0 && !mp_bulk_bind(statement, values, rows))
    return mp_fail(err, MP_ERR_PROTOCOL, CR_OUT_OF_MEMORY, "out of memory");
  for (unsigned i = 0; rows == 0 && i < statement->parameters; i++)
    bind_value(&statement->binds[i], &values[i]);
  if (statement->parameters > 0 && mysql_stmt_bind_param(statement->stmt, statement->binds))
    return stmt_fail(session, statement, MP_PHASE_SEND, err);
  return MP_DONE;
}

/* About as many bytes as the request will have. */
static size_t request_size(const mp_value *values, size_t count) {
  size_t size = 16;
  for (size_t i = 0; i < count; i++)
    size += values[i].kind >= MP_VALUE_STRING ? values[i].as.text.length + 10 : 10;
  return size;
}

static mp_status send(mp_session *session, prepared *statement, mp_sql_effect effect) {
  mp_query_note(session, effect, statement->may_set_charset);
  mp_call_expect_answer(session);
  session->prepared.executing = session->executed = statement;
  mp_query_head(&session->text.head, statement->head.text, statement->head.length);
  return mp_call_next(session, &execute, after_execute);
}

/* Text that the session's charset does not have the server would take for other characters, and store those
   without a word. */
static mp_status check_texts(const mp_session *session, const mp_value *values, size_t count, mp_error *err) {
  mp_sql_mode mode = mp_mode_of(session);
  for (size_t i = 0; !mode.utf8mb4 && i < count; i++)
    if (values[i].kind == MP_VALUE_STRING &&
        !mp_text_is_in_charset(values[i].as.text.bytes, values[i].as.text.length, &mode))
      return mp_fail(
          err, MP_ERR_SERVER, ER_INVALID_CHARACTER_STRING,
          "a prepared statement sends text as UTF-8, and the session's character set is another "
          "one, which SET NAMES or the option charset has chosen: use query for what is not ASCII");
  return MP_DONE;
}

/* For many rows the server takes only what it undoes as a whole, and refuses all else. */
static mp_sql_effect effect_of(const prepared *statement, size_t rows) {
  return statement && rows == 0 ? statement->effect : MP_EFFECT_WHOLE;
}

/* libmariadb builds the request from the values before mysql_stmt_execute_start returns. */
mp_status mp_prepared_execute(mp_session *session, uint64_t id, const mp_value *values, size_t rows,
                              mp_error *err) {
  prepared *statement = find(session, id);
  size_t count = statement ? statement->parameters * (rows > 0 ? rows : 1) : 0;
  mp_sql_effect effect = effect_of(statement, rows);
  if (mp_query_check_ready(session, effect, request_size(values, count), err) != MP_DONE)
    return MP_FAILED;
  err->phase = MP_PHASE_SEND;
  if (!statement)
    return mp_fail(err, MP_ERR_PROTOCOL, MP_ER_UNKNOWN_STATEMENT,
                   "the prepared statement ended with its session");
  if (rows > 0 && !mp_bulk_is_supported(session))
    return mp_fail(err, MP_ERR_SERVER, ER_NOT_SUPPORTED_YET, "the server knows no bulk execution");
  if (check_texts(session, values, count, err) != MP_DONE)
    return MP_FAILED;
  mp_status status = bind(session, statement, values, rows, err);
  if (status == MP_DONE)
    status = send(session, statement, effect);
  status = mp_call_go_on(session, status, err);
  if (rows > 0)
    mp_bulk_unbind(statement);
  return status;
}

/* ---- rows and results ---- */

/* libmariadb passes over what the packet behind the last row says: 0xFE, warnings, status, each of
   two bytes (MariaDB knowledge base, "EOF_Packet"). Behind the OUT parameters of a CALL MySQL's lacks the bit
   for what follows, although the OK of the CALL does (seen with 9.7). */
static void read_end(MYSQL_STMT *stmt) {
  MYSQL *mysql = stmt->mysql;
  const unsigned char *packet = mysql->net.read_pos;
  if (!packet || *packet != 0xFE)
    return;
  unsigned status = packet[3] | (unsigned)packet[4] << 8;
  if (mysql->server_status & SERVER_PS_OUT_PARAMS)
    status |= SERVER_MORE_RESULTS_EXIST;
  stmt->upsert_status.warning_count = packet[1] | (unsigned)packet[2] << 8;
  stmt->upsert_status.server_status = mysql->server_status = status;
}

static mp_status fail_malformed(mp_session *session, mp_error *err) {
  session->prepared.executing = NULL;
  err->phase = MP_PHASE_RESULT;
  return mp_fail(err, MP_ERR_PROTOCOL, CR_MALFORMED_PACKET, "a value reaches beyond its packet");
}

static mp_status after_row(mp_session *session, mp_error *err) {
  prepared *statement = session->prepared.executing;
  if (session->call.outcome == 0 && mp_binary_decode(statement)) {
    *session->fetched = (mp_row){.values = statement->values, .arrived = session->arrived};
    return MP_DONE;
  }
  session->prepared.in_rows = false;
  if (session->call.outcome == 0)
    return fail_malformed(session, err);
  if (session->call.outcome != MYSQL_NO_DATA) {
    session->prepared.executing = NULL;
    return stmt_fail(session, statement, MP_PHASE_RESULT, err);
  }
  read_end(statement->stmt);
  mp_mode_heed(session, false);
  if (!mysql_stmt_more_results(statement->stmt))
    session->prepared.executing = NULL;
  return MP_DONE;
}

static int row_start(mp_session *session) {
  return mysql_stmt_fetch_start(&session->call.outcome, session->prepared.executing->stmt);
}

static int row_cont(mp_session *session, int ready) {
  return mysql_stmt_fetch_cont(&session->call.outcome, session->prepared.executing->stmt, ready);
}

static const mp_call_kind read_row = {row_start, row_cont};

mp_status mp_prepared_fetch(mp_session *session, mp_row *row, mp_error *err) {
  *row = (mp_row){0};
  if (!session->prepared.in_rows)
    return MP_DONE;
  session->fetched = row;
  session->arrived = !mp_call_has_packet(session);
  if (!session->arrived) {
    session->call.outcome = mysql_stmt_fetch(session->prepared.executing->stmt);
    return mp_call_go_on(session, after_row(session, err), err);
  }
  mp_tls_clear_errors(session);
  return mp_call_begin(session, &read_row, after_row, err);
}

static mp_status after_next(mp_session *session, mp_error *err) {
  prepared *statement = session->prepared.executing;
  if (session->call.outcome > 0) {
    session->prepared.executing = NULL;
    return stmt_fail(session, statement, MP_PHASE_RESULT, err);
  }
  mp_mode_heed(session, false);
  return open_rows(session, err);
}

static int next_start(mp_session *session) {
  return mysql_stmt_next_result_start(&session->call.outcome, session->prepared.executing->stmt);
}

static int next_cont(mp_session *session, int ready) {
  return mysql_stmt_next_result_cont(&session->call.outcome, session->prepared.executing->stmt, ready);
}

static const mp_call_kind next_result = {next_start, next_cont};

mp_status mp_prepared_next_result(mp_session *session, bool *more, mp_error *err) {
  *more = session->prepared.executing && mysql_stmt_more_results(session->prepared.executing->stmt);
  if (!*more)
    return MP_DONE;
  mp_tls_clear_errors(session);
  return mp_call_begin(session, &next_result, after_next, err);
}

void mp_prepared_summary(const mp_session *session, mp_summary *summary) {
  MYSQL_STMT *stmt = session->executed->stmt;
  bool rows = session->prepared.in_rows;
  *summary = (mp_summary){
      .columns = rows ? mysql_stmt_field_count(stmt) : 0,
      .affected_rows = rows ? 0 : mysql_stmt_affected_rows(stmt),
      .insert_id = rows ? 0 : mysql_stmt_insert_id(stmt),
      .warning_count = stmt->upsert_status.warning_count,
      .info = rows ? NULL : mysql_info(session->mysql),
  };
}

const MYSQL_FIELD *mp_prepared_field(const mp_session *session, unsigned index) {
  return &session->prepared.executing->stmt->fields[index];
}

/* ---- the end ---- */

/* In the middle of its result a statement stays, and ends with the loan. */
void mp_prepared_close(mp_session *session, uint64_t id) {
  prepared **at = &session->prepared.first;
  while (*at && (*at)->id != id)
    at = &(*at)->next;
  prepared *statement = *at;
  if (!statement || statement == session->prepared.executing || !mp_session_is_at_rest(session))
    return;
  *at = statement->next;
  prepared_free(statement);
  if (session->driver->server.tls)
    mp_tls_set_nonblocking(session->mysql);
}

/* Once libmariadb has been told to forget them, closing them sends nothing: the server drops
   them with the reset, or with the connection. */
void mp_prepared_end(mp_session *session) {
  if (session->prepared.first || session->prepared.preparing)
    session->mysql->methods->invalidate_stmts(session->mysql, "the end of the loan");
  if (session->prepared.preparing)
    prepared_free(session->prepared.preparing);
  while (session->prepared.first) {
    prepared *statement = session->prepared.first;
    session->prepared.first = statement->next;
    prepared_free(statement);
  }
  session->prepared.preparing = session->prepared.executing = session->executed = NULL;
  session->prepared.in_rows = false;
}
