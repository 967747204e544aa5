/* Operations on the session of a loan: their deadlines, their failures, and the retry of a
   first statement that is proven not to have run. */
#include "mypool.h"

#include <assert.h>

#include "check.h"
#include "checkout.h"
#include "distrust.h"
#include "explain.h"
#include "loan.h"
#include "pause.h"
#include "queue.h"
#include "recover.h"
#include "reset.h"
#include "retry.h"
#include "server.h"
#include "silence.h"
#include "slots.h"
#include "sweep.h"
#include "time.h"

static mp_status start(mp_loan *loan, mp_wait *wait, mp_error *err);

static mp_status finish(mp_loan *loan, mp_status status) {
  if (loan->operation == OP_QUERY || loan->operation == OP_PREPARE || loan->operation == OP_EXECUTE ||
      loan->operation == OP_ASK)
    loan->statements++;
  if (loan->operation == OP_RESET && status == MP_DONE) {
    server_after_reset(loan->slot);
    loan->statements = 0;
    loan->dirty = false;
  }
  loan->operation = OP_NONE;
  return status;
}

/* ---- failures ---- */

static mp_status fail_lost(mp_error *err) {
  err->fatal = true;
  return mp_fail(err, MP_ERR_LOST, 0, "the connection of this loan was lost");
}

static mp_status fail_closed(mp_error *err) {
  err->fatal = true;
  return explain_closed(err);
}

/* This loan can no longer learn what the server makes of the statement. */
static mp_status time_out(mp_loan *loan, mp_error *err) {
  bool statement = loan_has_statement(loan), stopping = recover_begin(loan);
  loan->pool->stats.timeouts++;
  err->executed = MP_EXECUTED_UNKNOWN;
  explain_late(loan,
               stopping    ? ": the server is told to stop the statement, which may go on until then"
               : statement ? ": the statement may go on in the server"
                           : "",
               err);
  if (loan->operation == OP_RESET)
    server_after_failed_reset(loan->slot, err);
  if (!stopping) {
    loan->pool->driver->abort(loan->slot->session);
    loan->slot->lost = true;
  }
  return finish(loan, MP_FAILED);
}

/* The session came too late for what was to be sent to it, and is as good as new. */
static mp_status time_out_unsent(mp_loan *loan, mp_error *err) {
  loan->pool->stats.timeouts++;
  err->retryable = true;
  explain_late(loan, ": no connection was ready in time", err);
  loan->operation = OP_NONE;
  return MP_FAILED;
}

/* Operations that leave no trace on the server. */
static bool is_harmless(loan_operation operation) {
  return operation == OP_PING || operation == OP_RESET || operation == OP_PREPARE || operation == OP_ASK;
}

/* The call came too early: the result of an earlier statement is open. Nothing was sent; of statements the
   driver finds that out. */
static bool is_out_of_turn(const mp_error *err) {
  return err->phase == MP_PHASE_SEND && err->code == MP_CR_OUT_OF_SYNC;
}

/* Adds to a failure what only the loan knows: that an earlier try may have taken effect, that the session is
   lost, and that a ping does nothing. */
static mp_status report(mp_loan *loan, loan_operation operation, mp_status status, mp_error *err) {
  if (status != MP_FAILED)
    return status;
  err->fatal = !loan_has_session(loan);
  if (!err->host && loan->server)
    server_sign(loan->server, err);
  if (is_harmless(operation)) {
    err->executed = MP_EXECUTED_NO;
  } else if (loan->maybe_executed && err->executed == MP_EXECUTED_NO) {
    err->executed = MP_EXECUTED_UNKNOWN;
    err->retryable = false;
  }
  return MP_FAILED;
}

static bool is_movable(loan_operation operation) {
  return operation == OP_QUERY || operation == OP_PING || operation == OP_PREPARE || operation == OP_ASK;
}

/* The first statement of a loan may move to another session: nothing of the loan's is in the
   old one. One of on_connect belongs to its session. */
static bool may_retry(const mp_loan *loan) {
  const mp_pool *pool = loan->pool;
  bool first = loan->statements == 0 && is_movable(loan->operation) && !loan->slot->recording;
  return first && pool->config.retries > 0 && loan->tries <= pool->config.retries && !pool->closed;
}

/* A session of another server, say, may read what was written for the one before in another way. */
static bool needs_rewriting(const mp_loan *loan) {
  if (loan->operation != OP_QUERY || !loan->statement.written)
    return false;
  mp_sql_mode before = loan->statement.mode, now = loan->pool->driver->sql_mode(loan->slot->session);
  return before.reading.no_backslash_escapes != now.reading.no_backslash_escapes ||
         before.escapes_known != now.escapes_known || before.utf8 != now.utf8 ||
         before.utf8mb4 != now.utf8mb4 || before.empty_string_is_null != now.empty_string_is_null ||
         before.hex_is_number != now.hex_is_number;
}

/* A new session must be shown to the user's on_connect first, which only a checkout does: it is
   left to the next. */
static mp_status leave_to_checkout(mp_loan *loan, mp_error *err) {
  slot_make_idle(loan->pool, loan->slot);
  loan_spend(loan);
  loan->operation = OP_NONE;
  queue_serve(loan->pool);
  err->phase = MP_PHASE_SEND;
  err->retryable = true;
  return mp_fail(err, MP_ERR_LOST, MP_CR_SERVER_GONE,
                 "the connection was lost before the statement was sent");
}

static mp_status after_acquire(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  if (status != MP_DONE)
    return status;
  loan->deadline_ns = loan->statement.deadline_ns;
  if ((loan->pool->config.hooked && loan->slot->fresh) || needs_rewriting(loan))
    return leave_to_checkout(loan, err);
  if (pool_now(loan->pool) >= loan->deadline_ns)
    return time_out_unsent(loan, err);
  return start(loan, wait, err);
}

/* Calls itself by way of start, at most `retries` + 1 deep. */
static mp_status retry(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  int64_t until_ns = add_time(pool_now(pool), loan->timeout_ns);
  loan->stage = LOAN_SEEKING;
  loan->slot->server->stats.moved++;
  slot_close(pool, loan->slot);
  loan->slot = NULL;
  loan->server = NULL;
  loan->tries++;
  loan->dirty = false;
  loan->maybe_executed |= err->executed != MP_EXECUTED_NO;
  pool->stats.retries++;
  sweep_dead(pool);
  if (loan->deadline_ns > until_ns)
    loan->deadline_ns = until_ns;
  mp_error_clear(err);
  return after_acquire(loan, acquire(loan, wait, err), wait, err);
}

/* The server refused the statement, as another would not: one of several, or of those behind an address. */
static bool may_run_elsewhere(const mp_loan *loan, const mp_error *err) {
  const mp_pool_config *config = &loan->pool->config;
  return (config->hosts > 1 || config->need == MP_NEED_WRITE) && loan->slot->retire && !loan->slot->lost &&
         err->retryable && err->executed == MP_EXECUTED_NO && err->code != MP_ER_READ_ONLY_TRANSACTION;
}

static mp_status fail(mp_loan *loan, mp_wait *wait, mp_error *err) {
  const mp_driver *driver = loan->pool->driver;
  bool read_only = driver->is_read_only && driver->is_read_only(loan->slot->session);
  bool idempotent = loan->statement.idempotent || is_harmless(loan->operation);
  mp_verdict verdict = judge(err, idempotent, read_only, loan->pool->config.need);
  silence_explain(loan, err);
  loan->slot->lost |= verdict.lost;
  if (verdict.retire && !loan->slot->retire)
    distrust_begin(loan->pool, loan->slot, err);
  loan->slot->retire |= verdict.retire;
  if (err->code == MP_ER_DURING_COMMIT)
    distrust_after_commit(loan->slot, err);
  if (loan->operation == OP_RESET && !is_out_of_turn(err)) {
    loan->slot->lost = true;
    server_after_failed_reset(loan->slot, err);
  }
  if (reset_has_gone_astray(loan) && !is_out_of_turn(err))
    loan->slot->lost = true;
  if (loan->pool->aborted && verdict.lost)
    err->kind = MP_ERR_CLOSED;
  if ((verdict.again || may_run_elsewhere(loan, err)) && may_retry(loan))
    return retry(loan, wait, err);
  return finish(loan, MP_FAILED);
}

/* ---- progress ---- */

/* Until when the operation may wait without a look at the clock. */
static int64_t wait_until_ns(mp_loan *loan) {
  return earlier(loan->deadline_ns, silence_due_ns(loan));
}

static void may_block(mp_loan *loan) {
  const mp_driver *driver = loan->pool->driver;
  if (driver->may_block_until)
    driver->may_block_until(loan->slot->session, wait_until_ns(loan));
}

static mp_status wait_for_session(mp_loan *loan, mp_wait *wait, mp_error *err) {
  if (loan->deadline_ns != MP_NEVER && pool_now(loan->pool) >= loan->deadline_ns)
    return time_out(loan, err);
  loan->reading.since_ns = 0;
  if (!silence_look(loan))
    return fail_lost(err);
  may_block(loan);
  *wait = (mp_wait){.fd = loan->pool->driver->wait_fd(loan->slot->session), .until_ns = wait_until_ns(loan)};
  return MP_WAIT;
}

static bool wait_here(mp_loan *loan) {
  return loan_wait_here(loan, wait_until_ns(loan));
}

static mp_status progress(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  if (status == MP_WAIT)
    return wait_for_session(loan, wait, err);
  silence_after_answer(loan, status, err);
  return status == MP_DONE ? finish(loan, MP_DONE) : fail(loan, wait, err);
}

static mp_status call_driver(mp_loan *loan, mp_error *err) {
  mp_driver *driver = loan->pool->driver;
  mp_session *session = loan->slot->session;
  loan->dirty |= loan->operation != OP_PING;
  switch (loan->operation) {
  case OP_PING:
    return driver->ping(session, err);
  case OP_RESET:
    return reset_start(loan, err);
  case OP_ASK:
    return driver->ask(session, err);
  case OP_PREPARE:
    return driver->prepare(session, loan->statement.sql, loan->statement.length, err);
  case OP_EXECUTE:
    return driver->execute(session, loan->statement.prepared, loan->statement.values, loan->statement.rows,
                           err);
  default:
    return driver->query(session, loan->statement.sql, loan->statement.length, reset_may_go_along(loan), err);
  }
}

/* Looks at the session before it sends: one that is dead already never gets the statement. */
static mp_status start(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_driver *driver = loan->pool->driver;
  mp_session *session = loan->slot->session;
  bool at_rest = driver->is_at_rest(session);
  mp_status status;
  loan->waits_since_ns = 0;
  if (at_rest)
    may_block(loan);
  if (at_rest && loan_is_dead(loan)) {
    err->phase = MP_PHASE_SEND;
    status = mp_fail(err, MP_ERR_LOST, MP_CR_SERVER_GONE, "the server has closed the connection");
  } else if (!at_rest && (loan->operation == OP_PING || loan->operation == OP_RESET)) {
    err->phase = MP_PHASE_SEND;
    status = mp_fail(err, MP_ERR_PROTOCOL, MP_CR_OUT_OF_SYNC, "a result has not been read to its end");
  } else {
    status = call_driver(loan, err);
    while (status == MP_WAIT && wait_here(loan))
      status = driver->step(session, err);
  }
  return progress(loan, status, wait, err);
}

/* A statement that was refused inside of an open result leaves that result its deadline. */
static mp_status start_by(mp_loan *loan, int64_t deadline_ns, mp_wait *wait, mp_error *err) {
  int64_t deadline_before_ns = loan->statement.deadline_ns;
  loan->deadline_ns = loan->statement.deadline_ns = deadline_ns;
  mp_status status = start(loan, wait, err);
  if (status == MP_FAILED && is_out_of_turn(err))
    loan->deadline_ns = loan->statement.deadline_ns = deadline_before_ns;
  return status;
}

/* An operation that was never finished leaves its session in an unknown state. */
static mp_status begin(mp_loan *loan, loan_operation operation, int64_t deadline_ns, mp_wait *wait,
                       mp_error *err) {
  assert(mp_loan_is_held(loan));
  mp_error_clear(err);
  if (loan->operation != OP_NONE)
    mp_loan_lose(loan);
  if (loan->pool->aborted)
    return fail_closed(err);
  if (!loan_has_session(loan))
    return fail_lost(err);
  loan->operation = operation;
  loan->tries = 0;
  loan->maybe_executed = false;
  loan->reading.since_ns = 0;
  return report(loan, operation, start_by(loan, deadline_ns, wait, err), err);
}

static int64_t deadline_in(const mp_loan *loan, int64_t timeout_ns) {
  return timeout_ns == MP_NEVER ? MP_NEVER : add_time(pool_now(loan->pool), timeout_ns);
}

static int64_t statement_deadline(mp_loan *loan, int64_t timeout_ns) {
  loan->statement.timeout_ns = timeout_ns;
  return deadline_in(loan, timeout_ns > 0 ? timeout_ns : loan->pool->config.query_timeout_ns);
}

/* A question to the session takes its time from that of the statement behind it. */
static int64_t deadline_by(mp_loan *loan, const mp_query_options *options) {
  return options->asked ? loan->statement.deadline_ns : statement_deadline(loan, options->timeout_ns);
}

mp_status mp_loan_ask(mp_loan *loan, const mp_query_options *options, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  loan->statement.idempotent = false;
  return begin(loan, OP_ASK, statement_deadline(loan, options->timeout_ns), wait, err);
}

mp_status mp_loan_query(mp_loan *loan, const char *sql, size_t length, const mp_query_options *options,
                        mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  loan->statement.sql = sql;
  loan->statement.length = length;
  loan->statement.idempotent = options->idempotent;
  loan->statement.last = options->last;
  loan->statement.written = options->mode != NULL;
  if (loan->statement.written)
    loan->statement.mode = *options->mode;
  return begin(loan, OP_QUERY, deadline_by(loan, options), wait, err);
}

mp_status mp_loan_prepare(mp_loan *loan, const char *sql, size_t length, int64_t timeout_ns, mp_wait *wait,
                          mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  loan->statement.sql = sql;
  loan->statement.length = length;
  loan->statement.idempotent = false;
  return begin(loan, OP_PREPARE, statement_deadline(loan, timeout_ns), wait, err);
}

/* A prepared statement lives in its session: it cannot move to another. */
mp_status mp_loan_execute(mp_loan *loan, uint64_t statement, const mp_value *values, size_t rows,
                          const mp_query_options *options, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  loan->statement.prepared = statement;
  loan->statement.values = values;
  loan->statement.rows = rows;
  loan->statement.idempotent = false;
  return begin(loan, OP_EXECUTE, deadline_by(loan, options), wait, err);
}

mp_status mp_loan_ping(mp_loan *loan, int64_t timeout_ns, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  loan->statement.timeout_ns = timeout_ns;
  return begin(loan, OP_PING, deadline_in(loan, timeout_ns), wait, err);
}

mp_status mp_loan_reset(mp_loan *loan, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  return begin(loan, OP_RESET, deadline_in(loan, loan->pool->config.reset_timeout_ns), wait, err);
}

/* ---- results ----
   Each row comes this way: what is inline here is a thirtieth of the cost of a short one. */

static inline mp_status begin_reading(mp_loan *loan, loan_operation operation, mp_error *err) {
  mp_error_clear(err);
  if (loan->operation != OP_NONE)
    mp_loan_lose(loan);
  if (loan->pool->aborted)
    return fail_closed(err);
  if (!loan_has_session(loan))
    return fail_lost(err);
  loan->operation = operation;
  loan->waits_since_ns = 0;
  return MP_DONE;
}

/* Rows that keep coming end no wait: so the clock is looked at after so many of them, for the time limit and
   for the turn of other coroutines. */
enum { LOOK_AFTER_ROWS = 200 };
static const int64_t turn_ns = 4 * MP_MILLISECOND;

static bool is_look_due(const mp_loan *loan) {
  return loan->reading.unlooked >= LOOK_AFTER_ROWS;
}

void mp_loan_took_time(mp_loan *loan) {
  loan->reading.unlooked = LOOK_AFTER_ROWS;
}

static mp_status let_others_run(mp_loan *loan, int64_t now_ns, mp_wait *wait) {
  if (loan->reading.since_ns == 0)
    loan->reading.since_ns = now_ns;
  if (now_ns - loan->reading.since_ns < turn_ns)
    return MP_DONE;
  loan->reading.since_ns = 0;
  *wait = (mp_wait){.fd = loan->pool->driver->wait_fd(loan->slot->session), .until_ns = now_ns};
  return MP_WAIT;
}

/* Looks at the clock. MP_DONE: go on reading. */
static mp_status look(mp_loan *loan, mp_wait *wait, mp_error *err) {
  int64_t now_ns = pool_now(loan->pool);
  loan->reading.unlooked = 0;
  if (now_ns >= loan->deadline_ns) {
    loan_operation operation = loan->operation;
    return report(loan, operation, time_out(loan, err), err);
  }
  return loan->pool->config.may_queue ? let_others_run(loan, now_ns, wait) : MP_DONE;
}

bool mp_loan_has_row(const mp_loan *loan) {
  return !is_look_due(loan) && loan_has_session(loan) && loan->pool->driver->has_row(loan->slot->session);
}

static mp_status call_driver_to_read(mp_loan *loan, mp_error *err) {
  const mp_driver *driver = loan->pool->driver;
  if (loan->operation == OP_FETCH)
    return driver->fetch(loan->slot->session, loan->reading.row, err);
  return driver->next_result(loan->slot->session, loan->reading.more, err);
}

static inline mp_status after_read(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  loan_operation operation = loan->operation;
  if (status == MP_DONE)
    loan->reading.unlooked += operation == OP_FETCH && loan->reading.row->arrived ? LOOK_AFTER_ROWS : 1;
  return report(loan, operation, progress(loan, status, wait, err), err);
}

static inline mp_status read_next(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_status status = is_look_due(loan) ? look(loan, wait, err) : MP_DONE;
  loan->reading.postponed = status == MP_WAIT;
  if (status != MP_DONE)
    return status;
  status = call_driver_to_read(loan, err);
  while (status == MP_WAIT && wait_here(loan))
    status = loan->pool->driver->step(loan->slot->session, err);
  return after_read(loan, status, wait, err);
}

static mp_status step_reading(mp_loan *loan, mp_wait *wait, mp_error *err) {
  if (loan->reading.postponed)
    return read_next(loan, wait, err);
  return after_read(loan, loan->pool->driver->step(loan->slot->session, err), wait, err);
}

mp_status mp_loan_fetch(mp_loan *loan, mp_row *row, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  if (begin_reading(loan, OP_FETCH, err) != MP_DONE)
    return MP_FAILED;
  loan->reading.row = row;
  return read_next(loan, wait, err);
}

mp_status mp_loan_next_result(mp_loan *loan, bool *more, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  if (begin_reading(loan, OP_NEXT_RESULT, err) != MP_DONE)
    return MP_FAILED;
  loan->reading.more = more;
  return read_next(loan, wait, err);
}

/* ---- going on ---- */

mp_status mp_loan_step(mp_loan *loan, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  loan_operation operation = loan->operation;
  mp_status status;
  assert(operation != OP_NONE);
  mp_error_clear(err);
  loan->asleep = false;
  if (operation == OP_PAUSE)
    return pause_step(loan, wait);
  if (operation == OP_CHECKOUT)
    return checkout_end(loan, acquire_step(loan, wait, err));
  if (operation == OP_FETCH || operation == OP_NEXT_RESULT)
    return step_reading(loan, wait, err);
  if (loan->stage == LOAN_HELD)
    status = progress(loan, loan->pool->driver->step(loan->slot->session, err), wait, err);
  else
    status = after_acquire(loan, acquire_step(loan, wait, err), wait, err);
  return report(loan, operation, status, err);
}
