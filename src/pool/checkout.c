/* Getting a session for a loan: from the idle list, by opening one, or by waiting for one.
   Serves the checkout and, under the same handle, the retry of a first statement. */
#include <assert.h>
#include <stdio.h>

#include "pool.h"

static mp_status wait_on_session(mp_loan *loan, int64_t until_ns, mp_wait *wait) {
  *wait = (mp_wait){.fd = loan->pool->driver->wait_fd(loan->slot->session), .until_ns = until_ns};
  return MP_WAIT;
}

/* Without a session: a handle whose first statement was to be retried stays a loan, of
   which only the release is of use. */
static void empty_handed(mp_loan *loan) {
  loan->stage = loan->operation == OP_CHECKOUT ? LOAN_NEW : LOAN_HELD;
  loan->slot = NULL;
  loan->operation = OP_NONE;
  queue_serve(loan->pool);
  pool_tell_ended(loan->pool);
}

static mp_status give_up(mp_loan *loan) {
  empty_handed(loan);
  return MP_FAILED;
}

static mp_status expired(mp_loan *loan, mp_error *err) {
  explain_expired(loan, err);
  acquire_abandon(loan);
  return MP_FAILED;
}

static mp_status held(mp_loan *loan, int64_t now_ns) {
  loan->stage = LOAN_HELD;
  loan->since_ns = now_ns;
  overdue_expect(loan->pool, loan);
  return MP_DONE;
}

/* The session failed before anything of the caller's was sent: take another. What is returned
   here is not the last word, seek_on goes on. That a server which knows no reset was asked once
   more is not the caller's trouble. */
static mp_status replace(mp_loan *loan, mp_error *err) {
  mp_pool *pool = loan->pool;
  slot_close(pool, loan->slot);
  loan->slot = NULL;
  loan->tries++;
  if (pool->config.retries == 0 && !pool->reset_refused)
    return give_up(loan);
  pool->stats.retries++;
  *err = (mp_error){0};
  loan->stage = LOAN_SEEKING;
  return MP_WAIT;
}

/* ---- waiting ---- */

static int64_t earlier(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Whether a slot is free and only the state of the server keeps it from being opened. */
static bool held_back(const mp_pool *pool) {
  return pool->failures > 0 && pool->counts[SLOT_EMPTY] > 0;
}

static mp_status wait_in_queue(mp_loan *loan, mp_wait *wait) {
  mp_pool *pool = loan->pool;
  int64_t until_ns = loan->deadline_ns;
  if (pool->first == loan && held_back(pool) && pool->counts[SLOT_OPENING] == 0)
    until_ns = earlier(until_ns, pool->retry_at_ns);
  *wait = (mp_wait){.fd = loan->wakeup_fd, .until_ns = until_ns};
  return MP_WAIT;
}

static mp_status enqueue(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  if (!pool->config.may_queue && !held_back(pool)) {
    explain_exhausted(loan, err);
    return give_up(loan);
  }
  if (queue_enter(loan, err) == MP_FAILED)
    return give_up(loan);
  return wait_in_queue(loan, wait);
}

/* ---- a session from the idle list ---- */

static mp_status found_dead(mp_loan *loan, mp_error *err) {
  loan->pool->stats.stale++;
  idle_sweep_dead(loan->pool);
  mp_fail(err, MP_ERR_LOST, 2006, "the server closed the connection while it was idle");
  err->retryable = true;
  return replace(loan, err);
}

static mp_status not_reset(mp_loan *loan, mp_error *err) {
  reset_failed(loan->pool, loan->slot, err);
  err->kind = MP_ERR_LOST;
  err->retryable = true;
  return replace(loan, err);
}

/* The reset goes on, for whoever comes next, and this checkout seeks another session. */
static mp_status put_aside(mp_loan *loan, int64_t now_ns) {
  mp_pool *pool = loan->pool;
  pool->stats.reset_wait_ns += now_ns - loan->since_ns;
  loan->slot->reset_slow = true;
  slot_move(pool, loan->slot, SLOT_IDLE);
  loan->slot = NULL;
  loan->stage = LOAN_SEEKING;
  return MP_WAIT;
}

/* Put aside with a part of its replies there, it would be the first to be found again, for ever. */
static bool slow(const mp_loan *loan, int64_t now_ns) {
  return now_ns - loan->slot->reset_ns >= RESET_SLOW_NS &&
         loan->pool->driver->peek(loan->slot->session) != MP_READY;
}

/* Nobody tells it of a session that comes back meanwhile, so it looks from time to time. */
static mp_status wait_for_reset(mp_loan *loan, mp_wait *wait) {
  int64_t now_ns = pool_now(loan->pool);
  if (loan->pool->config.max_size == 1)
    return wait_on_session(loan, loan->limit_ns, wait);
  if (slow(loan, now_ns) && idle_other(loan->pool, now_ns))
    return put_aside(loan, now_ns);
  return wait_on_session(loan, earlier(loan->limit_ns, now_ns + RESET_SLOW_NS), wait);
}

static mp_status resetting(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  if (status == MP_WAIT)
    return wait_for_reset(loan, wait);
  loan->slot->reset_pending = loan->slot->reset_begun = loan->slot->reset_slow = false;
  if (status == MP_FAILED)
    return not_reset(loan, err);
  reset_answered(pool, loan->slot);
  if (loan_is_dead(loan))
    return found_dead(loan, err);
  return held(loan, pool_now(pool));
}

/* A server that does not answer a reset must leave time to try another session. */
static int64_t reset_limit_ns(const mp_loan *loan, int64_t now_ns) {
  int64_t limit_ns = add_time(loan->slot->reset_ns, loan->pool->config.reset_timeout_ns);
  if (loan->deadline_ns == MP_NEVER)
    return limit_ns;
  return earlier(limit_ns, now_ns + (loan->deadline_ns - now_ns) / 2);
}

static mp_status read_reset(mp_driver *driver, mp_slot *slot, mp_error *err) {
  if (slot->reset_begun)
    return driver->step(slot->session, err);
  slot->reset_begun = true;
  return driver->reset_read(slot->session, err);
}

static bool wait_here(const mp_loan *loan) {
  return loan_wait_here(loan, earlier(loan->limit_ns, loan->since_ns + RESET_SLOW_NS));
}

static mp_status step_resetting(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  mp_status status;
  do
    status = pool->driver->step(loan->slot->session, err);
  while (status == MP_WAIT && wait_here(loan));
  int64_t now_ns = pool_now(pool);
  if (status == MP_WAIT && now_ns >= loan->deadline_ns)
    return expired(loan, err);
  if (status == MP_WAIT && now_ns >= loan->limit_ns)
    status = reset_silent(err);
  if (status != MP_WAIT)
    pool->stats.reset_wait_ns += now_ns - loan->since_ns;
  return resetting(loan, status, wait, err);
}

static mp_status use_idle(mp_loan *loan, mp_slot *slot, int64_t now_ns, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  loan->slot = slot;
  slot->loan = loan;
  if (!slot->reset_pending)
    return held(loan, now_ns);
  loan->stage = LOAN_RESETTING;
  if (slot->reset_partial)
    slot->reset_ns = now_ns; /* nobody could answer before the rest was sent */
  mp_status status = read_reset(pool->driver, slot, err);
  if (status == MP_DONE)
    pool->stats.resets_hidden++;
  if (status == MP_WAIT) {
    pool->stats.resets_waited++;
    loan->since_ns = now_ns;
    loan->limit_ns = reset_limit_ns(loan, loan->since_ns);
    if (wait_here(loan))
      return step_resetting(loan, wait, err);
  }
  return resetting(loan, status, wait, err);
}

/* ---- a new session ---- */

/* A recovery ends with a reset. False when the session was closed: by its failure, or because
   its time was over anyway. */
static bool recovery_settled(mp_pool *pool, mp_slot *slot, mp_status status) {
  if (status == MP_DONE)
    reset_answered(pool, slot);
  if (status == MP_DONE && slot_reusable(pool, slot, pool_now(pool)))
    return true;
  slot_discard(pool, slot);
  return false;
}

/* Others may connect as well once one has. */
static mp_status opened(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  slot_move(pool, loan->slot, SLOT_LENT);
  slot_opened(pool, loan->slot);
  backoff_succeeded(pool);
  mp_status status = held(loan, pool_now(pool));
  queue_serve(pool);
  return status;
}

/* A statement that could not be stopped says nothing of the next connect. */
static mp_status recovered(mp_loan *loan, mp_status status, mp_error *err) {
  mp_pool *pool = loan->pool;
  if (recovery_settled(pool, loan->slot, status)) {
    slot_move(pool, loan->slot, SLOT_LENT);
    return held(loan, pool_now(pool));
  }
  loan->slot = NULL;
  *err = (mp_error){0};
  loan->stage = LOAN_SEEKING;
  return MP_WAIT;
}

/* Waits its turn again until the next attempt is due; others who wait held back because this
   one was under way. */
static mp_status open_failed(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  judge(err, false, false);
  slot_close(pool, loan->slot);
  loan->slot = NULL;
  if (err->retryable && pool->failures > 0 && pool_now(pool) >= loan->deadline_ns)
    *err = pool->last_failure; /* this attempt was cut short: the earlier one tells more */
  backoff_failed(pool, err);
  if (!err->retryable || pool->config.retries == 0 || pool->retry_at_ns >= loan->deadline_ns)
    return give_up(loan);
  *err = (mp_error){0};
  queue_wake_first(pool);
  return enqueue(loan, wait, err);
}

static mp_status opening(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  if (status == MP_WAIT && pool_now(loan->pool) >= loan->deadline_ns)
    return expired(loan, err);
  loan->parked = status == MP_WAIT;
  if (status == MP_WAIT)
    return wait_on_session(loan, loan->deadline_ns, wait);
  if (loan->slot->state == SLOT_RECOVERING)
    return recovered(loan, status, err);
  return status == MP_DONE ? opened(loan) : open_failed(loan, wait, err);
}

/* The slot is reserved; the connect, or the recovery, may have been begun for another loan. */
static mp_status use_opening(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_driver *driver = loan->pool->driver;
  mp_slot *slot = loan->slot;
  mp_status status;
  loan->stage = LOAN_OPENING;
  if (slot->session) {
    status = driver->step(slot->session, err);
  } else {
    slot->generation = loan->pool->generation;
    status = driver->open(driver, loan->deadline_ns, &slot->session, err);
  }
  return opening(loan, status, wait, err);
}

static mp_status reserve(mp_loan *loan, mp_slot *slot, mp_wait *wait, mp_error *err) {
  if (slot->state == SLOT_EMPTY) {
    slot_move(loan->pool, slot, SLOT_OPENING);
    distrust_opening(loan->pool);
  }
  slot->loan = loan;
  loan->slot = slot;
  return use_opening(loan, wait, err);
}

/* ---- the choice ---- */

static bool open_settled(mp_pool *pool, mp_slot *slot, mp_status status, mp_error *err) {
  if (status == MP_DONE) {
    slot_opened(pool, slot);
    backoff_succeeded(pool);
    return true;
  }
  judge(err, false, false);
  slot_close(pool, slot);
  backoff_failed(pool, err);
  return false;
}

static void settle(mp_pool *pool, mp_slot *slot) {
  mp_error err = {0};
  mp_status status = pool->driver->step(slot->session, &err);
  bool recovering = slot->state == SLOT_RECOVERING;
  if (status == MP_WAIT)
    return;
  if (recovering ? recovery_settled(pool, slot, status) : open_settled(pool, slot, status, &err))
    slot_make_idle(pool, slot);
}

static bool is_orphan(const mp_slot *slot) {
  return (slot->state == SLOT_OPENING || slot->state == SLOT_RECOVERING) && !slot->loan;
}

/* Connects whose loans gave up, and recoveries, may have come to their ends since. */
static void settle_orphans(mp_pool *pool) {
  unsigned count = pool->counts[SLOT_OPENING] + pool->counts[SLOT_RECOVERING];
  for (unsigned i = 0; count > 0 && i < pool->config.max_size; i++)
    if (is_orphan(&pool->slots[i]))
      settle(pool, &pool->slots[i]);
}

/* A loan that has had a session already came before those that wait. */
static mp_status seek(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  mp_slot *slot;
  if (pool->closed) {
    explain_closed(err);
    return give_up(loan);
  }
  settle_orphans(pool);
  int64_t now_ns = pool_now(pool);
  idle_sweep(pool, now_ns);
  if (pool->first && loan->tries == 0)
    return enqueue(loan, wait, err);
  bool may_reuse = loan->tries <= pool->config.retries && !distrust_wants_new(pool);
  if (may_reuse && (slot = idle_pick(pool, now_ns))) {
    slot_move(pool, slot, SLOT_LENT);
    return use_idle(loan, slot, now_ns, wait, err);
  }
  if ((slot = slot_find_other(pool)))
    return reserve(loan, slot, wait, err);
  return enqueue(loan, wait, err);
}

/* A loop, not a recursion: any number of sessions may fail one after the other. */
static mp_status seek_on(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  while (loan->stage == LOAN_SEEKING)
    status = seek(loan, wait, err);
  return status;
}

mp_status acquire(mp_loan *loan, mp_wait *wait, mp_error *err) {
  loan->stage = LOAN_SEEKING;
  return seek_on(loan, MP_WAIT, wait, err);
}

/* Gives back what the loan was about to get. A reset and a connect go on and serve whoever
   comes next. */
static void return_slot(mp_pool *pool, mp_slot *slot) {
  if (!slot->session || (pool->closed && slot->state == SLOT_OPENING)) {
    slot_close(pool, slot);
  } else if (pool->closed) {
    slot_discard(pool, slot);
  } else if (slot->state == SLOT_LENT) {
    slot_move(pool, slot, SLOT_IDLE);
  } else {
    slot->loan = NULL;
  }
}

/* Where it waited before it was handed a slot. */
static void leave(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  mp_slot *left = loan->left;
  if (!left) {
    queue_leave(loan);
    return;
  }
  loan->left = NULL;
  return_slot(pool, left);
  queue_serve(pool);
}

static mp_status step_handed(mp_loan *loan, mp_wait *wait, mp_error *err) {
  leave(loan);
  if (loan->slot->state != SLOT_LENT)
    return use_opening(loan, wait, err);
  if (loan->pool->driver->peek(loan->slot->session) == MP_DEAD)
    return found_dead(loan, err);
  return use_idle(loan, loan->slot, pool_now(loan->pool), wait, err);
}

static mp_status step_queued(mp_loan *loan, mp_wait *wait, mp_error *err) {
  if (queue_try(loan))
    return step_handed(loan, wait, err);
  if (pool_now(loan->pool) < loan->deadline_ns)
    return wait_in_queue(loan, wait);
  explain_expired(loan, err);
  queue_leave(loan);
  return give_up(loan);
}

static mp_status step_stage(mp_loan *loan, mp_wait *wait, mp_error *err) {
  switch (loan->stage) {
  case LOAN_QUEUED:
    return step_queued(loan, wait, err);
  case LOAN_HANDED:
    return step_handed(loan, wait, err);
  case LOAN_OPENING:
    return opening(loan, loan->pool->driver->step(loan->slot->session, err), wait, err);
  case LOAN_RESETTING:
    return step_resetting(loan, wait, err);
  default:
    return MP_DONE;
  }
}

mp_status acquire_step(mp_loan *loan, mp_wait *wait, mp_error *err) {
  loan->parked = false;
  if (!loan->pool->closed)
    return seek_on(loan, step_stage(loan, wait, err), wait, err);
  acquire_abandon(loan);
  return explain_closed(err);
}

void acquire_abandon(mp_loan *loan) {
  loan->parked = false;
  if (loan->stage == LOAN_QUEUED || loan->stage == LOAN_HANDED)
    leave(loan);
  if (loan->slot)
    return_slot(loan->pool, loan->slot);
  empty_handed(loan);
}

mp_status checkout_done(mp_loan *loan, mp_status status) {
  if (status == MP_DONE) {
    loan->operation = OP_NONE;
    loan->pool->stats.checkouts++;
  }
  return status;
}

mp_status mp_loan_checkout(mp_loan *loan, int64_t timeout_ns, const char *label, mp_wait *wait,
                           mp_error *err) {
  assert(loan->stage == LOAN_NEW && loan->operation == OP_NONE);
  *err = (mp_error){0};
  loan->operation = OP_CHECKOUT;
  loan->timeout_ns = timeout_ns;
  loan->deadline_ns = add_time(pool_now(loan->pool), timeout_ns);
  loan->ticket = loan->pool->tickets++;
  loan->tries = 0;
  loan->label = label ? label : "";
  return checkout_done(loan, acquire(loan, wait, err));
}
