/* The loan: its making, and facts about it. */
#include "loan.h"

#include <stdlib.h>

#include "check.h"
#include "time.h"
#include "wake.h"

mp_loan *mp_loan_new(mp_pool *pool) {
  mp_loan *loan = malloc(sizeof *loan); /* calloc passes over what malloc has at hand */
  if (!loan)
    return NULL;
  *loan = (mp_loan){.pool = pool, .wakeup_fd = -1, .label = ""};
  pool->loans++;
  return loan;
}

void mp_loan_set_owner(mp_loan *loan, const void *owner) {
  loan->owner = owner;
}

/* ---- its session ---- */

bool loan_is_dead(const mp_loan *loan) {
  const mp_driver *driver = loan->pool->driver;
  mp_session *session = loan->slot->session;
  return driver->needs_peek(session) && driver->peek(session) == MP_DEAD;
}

/* A plain blocking program has nothing else to do meanwhile. */
bool loan_wait_here(const mp_loan *loan, int64_t until_ns) {
  const mp_pool *pool = loan->pool;
  return !pool->config.may_queue && pool->driver->wait_here &&
         pool->driver->wait_here(loan->slot->session, until_ns);
}

void loan_end_pause(mp_loan *loan) {
  if (loan->operation != OP_PAUSE)
    return;
  wake_end(loan);
  loan->operation = OP_NONE;
}

void loan_spend(mp_loan *loan) {
  loan->slot = NULL;
  loan->stage = LOAN_SPENT;
}

/* ---- facts ---- */

bool loan_has_statement(const mp_loan *loan) {
  return loan->operation != OP_NONE && loan->operation != OP_PING && loan->operation != OP_RESET;
}

bool mp_loan_is_held(const mp_loan *loan) {
  return loan->stage != LOAN_NEW && loan->stage != LOAN_ENDED;
}

bool mp_loan_is_queued(const mp_loan *loan) {
  return loan->stage == LOAN_QUEUED;
}

int64_t mp_loan_now(const mp_loan *loan) {
  return pool_now(loan->pool);
}

uint64_t mp_loan_id(const mp_loan *loan) {
  return loan_has_session(loan) ? loan->pool->driver->id(loan->slot->session) : 0;
}

bool mp_loan_is_in_transaction(const mp_loan *loan) {
  return loan_has_session(loan) && loan->pool->driver->is_in_transaction(loan->slot->session);
}

uint64_t mp_loan_watch(mp_loan *loan) {
  CHECK_WHEN_LEFT(loan->pool);
  return loan_has_session(loan) ? loan->pool->driver->watch(loan->slot->session) : 0;
}

mp_status mp_loan_check_watched(const mp_loan *loan, uint64_t transaction, mp_error *err) {
  mp_error_clear(err);
  if (!loan_has_session(loan))
    return MP_DONE;
  return loan->pool->driver->check_watched(loan->slot->session, transaction, err);
}

mp_status mp_loan_unwatch(mp_loan *loan, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  mp_error_clear(err);
  return loan_has_session(loan) ? loan->pool->driver->unwatch(loan->slot->session, err) : MP_DONE;
}

void mp_loan_spoil(mp_loan *loan) {
  CHECK_WHEN_LEFT(loan->pool);
  if (loan_has_session(loan))
    loan->pool->driver->spoil(loan->slot->session);
}

/* A refused COMMIT that had its reset behind it has cost the session, too. */
bool mp_loan_is_retiring(const mp_loan *loan) {
  return loan->stage == LOAN_HELD && loan->slot->retire;
}

mp_sql_mode mp_loan_sql_mode(const mp_loan *loan) {
  return loan_has_session(loan) ? loan->pool->driver->sql_mode(loan->slot->session)
                                : (mp_sql_mode){.utf8 = true};
}

void mp_loan_summary(const mp_loan *loan, mp_summary *summary) {
  loan->pool->driver->summary(loan->slot->session, summary);
}

mp_column mp_loan_column(const mp_loan *loan, unsigned index) {
  return loan->pool->driver->column(loan->slot->session, index);
}

int mp_loan_slot(const mp_loan *loan) {
  return loan_has_session(loan) ? (int)(loan->slot - loan->pool->slots) : -1;
}

bool mp_loan_is_fresh(const mp_loan *loan) {
  return loan_has_session(loan) && loan->slot->fresh;
}

uint64_t mp_loan_prepared_id(const mp_loan *loan) {
  return loan->pool->driver->prepared_id(loan->slot->session);
}

int mp_loan_parameters(const mp_loan *loan, uint64_t statement) {
  return loan_has_session(loan) ? loan->pool->driver->parameters(loan->slot->session, statement) : -1;
}

void mp_loan_close_prepared(mp_loan *loan, uint64_t statement) {
  CHECK_WHEN_LEFT(loan->pool);
  if (loan_has_session(loan) && loan->operation == OP_NONE)
    loan->pool->driver->close_prepared(loan->slot->session, statement);
}

void mp_loan_record(mp_loan *loan, bool on) {
  CHECK_WHEN_LEFT(loan->pool);
  if (!loan_has_session(loan))
    return;
  loan->pool->driver->record(loan->slot->session, on);
  loan->slot->recording = on;
  if (on)
    return;
  loan->slot->fresh = false;
  loan->dirty = false;
  loan->statements = 0;
}

mp_status mp_loan_check_baseline(const mp_loan *loan, mp_error *err) {
  const mp_driver *driver = loan->pool->driver;
  if (!loan_has_session(loan) || !driver->check_baseline)
    return MP_DONE;
  return driver->check_baseline(loan->slot->session, err);
}
