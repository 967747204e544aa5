/* The loan from its making to its release. */
#include <stdlib.h>

#include "pool.h"

mp_loan *mp_loan_new(mp_pool *pool) {
  mp_loan *loan = calloc(1, sizeof *loan);
  if (!loan)
    return NULL;
  loan->pool = pool;
  loan->wakeup_fd = -1;
  loan->label = "";
  pool->loans++;
  return loan;
}

void mp_loan_free(mp_loan *loan) {
  if (!loan)
    return;
  mp_loan_release(loan, true);
  pool_forget_loan(loan->pool);
  free(loan);
}

void mp_loan_set_owner(mp_loan *loan, const void *owner) {
  loan->owner = owner;
}

/* ---- its session ---- */

/* Where a send tells, nobody needs to look. */
bool loan_is_dead(const mp_loan *loan) {
  const mp_driver *driver = loan->pool->driver;
  mp_session *session = loan->slot->session;
  return !driver->send_tells(session) && driver->peek(session) == MP_DEAD;
}

/* A plain blocking program has nothing else to do meanwhile. */
bool loan_wait_here(const mp_loan *loan, int64_t until_ns) {
  const mp_pool *pool = loan->pool;
  return !pool->config.may_queue && pool->driver->wait_here &&
         pool->driver->wait_here(loan->slot->session, until_ns);
}

/* ---- facts ---- */

bool mp_loan_is_held(const mp_loan *loan) {
  return loan->stage != LOAN_NEW && loan->stage != LOAN_ENDED;
}

bool mp_loan_is_queued(const mp_loan *loan) {
  return loan->stage == LOAN_QUEUED;
}

int64_t mp_loan_now(const mp_loan *loan) {
  return pool_now(loan->pool);
}

static bool has_session(const mp_loan *loan) {
  return loan->stage == LOAN_HELD && loan->slot && !loan->slot->lost;
}

uint64_t mp_loan_id(const mp_loan *loan) {
  return has_session(loan) ? loan->pool->driver->id(loan->slot->session) : 0;
}

bool mp_loan_is_in_transaction(const mp_loan *loan) {
  return has_session(loan) && loan->pool->driver->is_in_transaction(loan->slot->session);
}

uint64_t mp_loan_watch(mp_loan *loan) {
  return has_session(loan) ? loan->pool->driver->watch(loan->slot->session) : 0;
}

mp_status mp_loan_check_watched(const mp_loan *loan, uint64_t transaction, mp_error *err) {
  *err = (mp_error){0};
  if (!has_session(loan))
    return MP_DONE;
  return loan->pool->driver->check_watched(loan->slot->session, transaction, err);
}

mp_status mp_loan_unwatch(mp_loan *loan, mp_error *err) {
  *err = (mp_error){0};
  return has_session(loan) ? loan->pool->driver->unwatch(loan->slot->session, err) : MP_DONE;
}

void mp_loan_spoil(mp_loan *loan) {
  if (has_session(loan))
    loan->pool->driver->spoil(loan->slot->session);
}

bool mp_loan_is_retiring(const mp_loan *loan) {
  return has_session(loan) && loan->slot->retire;
}

mp_sql_mode mp_loan_sql_mode(const mp_loan *loan) {
  return has_session(loan) ? loan->pool->driver->sql_mode(loan->slot->session) : (mp_sql_mode){.utf8 = true};
}

void mp_loan_summary(const mp_loan *loan, mp_summary *summary) {
  loan->pool->driver->summary(loan->slot->session, summary);
}

mp_column mp_loan_column(const mp_loan *loan, unsigned index) {
  return loan->pool->driver->column(loan->slot->session, index);
}

int mp_loan_slot(const mp_loan *loan) {
  return has_session(loan) ? (int)(loan->slot - loan->pool->slots) : -1;
}

bool mp_loan_is_fresh(const mp_loan *loan) {
  return has_session(loan) && loan->slot->fresh;
}

uint64_t mp_loan_prepared_id(const mp_loan *loan) {
  return loan->pool->driver->prepared_id(loan->slot->session);
}

int mp_loan_parameters(const mp_loan *loan, uint64_t statement) {
  return has_session(loan) ? loan->pool->driver->parameters(loan->slot->session, statement) : -1;
}

void mp_loan_close_prepared(mp_loan *loan, uint64_t statement) {
  if (has_session(loan) && loan->operation == OP_NONE)
    loan->pool->driver->close_prepared(loan->slot->session, statement);
}

void mp_loan_record(mp_loan *loan, bool on) {
  if (!has_session(loan))
    return;
  loan->pool->driver->record(loan->slot->session, on);
  loan->slot->recording = on;
  if (on)
    return;
  loan->slot->fresh = false;
  loan->touched = false;
  loan->statements = 0;
}

mp_status mp_loan_check_baseline(const mp_loan *loan, mp_error *err) {
  const mp_driver *driver = loan->pool->driver;
  if (!has_session(loan) || !driver->check_baseline)
    return MP_DONE;
  return driver->check_baseline(loan->slot->session, err);
}

/* ---- release ---- */

static bool may_be_lent_again(const mp_loan *loan, int64_t now_ns) {
  const mp_pool *pool = loan->pool;
  const mp_slot *slot = loan->slot;
  if (pool->closed || loan->operation != OP_NONE)
    return false;
  return slot_reusable(pool, slot, now_ns) && pool->driver->is_at_rest(slot->session);
}

/* A loan that sent nothing left nothing behind: it alone needs no reset. */
static bool clean(mp_loan *loan, bool reset) {
  mp_pool *pool = loan->pool;
  mp_error err = {0};
  if (!reset || !pool->config.reset || !loan->touched)
    return true;
  if (!reset_is_due(pool))
    return false;
  mp_status status = pool->driver->reset_send(loan->slot->session, &err);
  if (status == MP_FAILED) {
    reset_failed(pool, loan->slot, &err);
    return false;
  }
  pool->stats.resets_sent++;
  loan->slot->reset_pending = true;
  loan->slot->reset_partial = status == MP_WAIT;
  return true;
}

static void give_back(mp_loan *loan, bool reset) {
  mp_pool *pool = loan->pool;
  int64_t now_ns = pool_now(pool);
  if (may_be_lent_again(loan, now_ns) && clean(loan, reset)) {
    loan->slot->released_ns = loan->slot->reset_ns = now_ns;
    slot_move(pool, loan->slot, SLOT_IDLE);
  } else {
    slot_discard(pool, loan->slot);
  }
  queue_serve(pool);
  idle_sweep(pool, now_ns);
}

static void end(mp_loan *loan) {
  loan->slot = NULL;
  loan->operation = OP_NONE;
  loan->stage = LOAN_ENDED;
  pool_tell_ended(loan->pool);
}

void mp_loan_release(mp_loan *loan, bool reset) {
  pause_end(loan);
  if (!mp_loan_is_held(loan))
    return;
  if (loan->stage != LOAN_HELD)
    acquire_abandon(loan);
  else if (loan->slot)
    give_back(loan, reset);
  end(loan);
}

void mp_loan_lose(mp_loan *loan) {
  if (loan->operation == OP_PAUSE) {
    pause_end(loan);
    return;
  }
  if (!mp_loan_is_held(loan))
    return;
  if (loan->stage != LOAN_HELD) {
    acquire_abandon(loan);
  } else if (loan->slot) {
    loan->pool->driver->abort(loan->slot->session);
    loan->slot->lost = true;
  }
  loan->operation = OP_NONE;
}

/* A session at rest is given back as by a release, but never as it is: who was in the middle of something
   may have left a transaction open. A statement would go on in the server, on a connection that the pool no
   longer counts: it is stopped. */
static void give_up_session(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  if (loan->operation == OP_NONE && pool->config.reset) {
    give_back(loan, true);
  } else if (!operation_recover(loan)) {
    slot_discard(pool, loan->slot);
    queue_serve(pool);
  }
  loan->slot = NULL;
}

void mp_loan_abandon(mp_loan *loan) {
  pause_end(loan);
  if (!mp_loan_is_held(loan))
    return;
  if (loan->stage != LOAN_HELD)
    acquire_abandon(loan);
  else if (loan->slot)
    give_up_session(loan);
  loan->operation = OP_NONE;
  pool_tell_ended(loan->pool);
}

void mp_loan_cut(mp_loan *loan) {
  if (loan->stage == LOAN_HELD && loan->slot)
    loan->pool->driver->abort(loan->slot->session);
}

void mp_loan_discard(mp_loan *loan) {
  pause_end(loan);
  if (!mp_loan_is_held(loan))
    return;
  mp_loan_lose(loan);
  mp_loan_release(loan, false);
}
