/* The queue: loans that wait, served in the order of their coming. A slot is handed to the
   first directly, so that nobody who comes later can take it. */
#include "queue.h"

#include "slots.h"

/* In the order of the checkouts: who comes back, because what it was given proved of no use,
   has its old place again. */
static void link_loan(mp_pool *pool, mp_loan *loan) {
  mp_loan *before = pool->last;
  while (before && before->ticket > loan->ticket)
    before = before->previous;
  loan->previous = before;
  loan->next = before ? before->next : pool->first;
  if (loan->next)
    loan->next->previous = loan;
  else
    pool->last = loan;
  if (before)
    before->next = loan;
  else
    pool->first = loan;
  pool->waiting++;
}

static void unlink_loan(mp_pool *pool, mp_loan *loan) {
  if (loan->previous)
    loan->previous->next = loan->next;
  else
    pool->first = loan->next;
  if (loan->next)
    loan->next->previous = loan->previous;
  else
    pool->last = loan->previous;
  loan->next = loan->previous = NULL;
  pool->waiting--;
}

/* While the server is down the first in the queue keeps the time of the next attempt: whoever
   is the first now must look at the clock. */
void queue_wake_first(mp_pool *pool) {
  if (pool->first && pool->failures > 0)
    pool->driver->wakeup_notify(pool->driver, pool->first->wakeup_fd);
}

void queue_leave(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  if (loan->stage == LOAN_QUEUED)
    unlink_loan(pool, loan);
  pool->driver->wakeup_give(pool->driver, loan->wakeup_fd);
  loan->wakeup_fd = -1;
}

/* What the first in the queue could use now: its state tells how. */
static mp_slot *find_usable(mp_pool *pool) {
  return pool->newest ? pool->newest : slot_find_other(pool);
}

static void hand_over(mp_loan *loan, mp_slot *slot) {
  mp_pool *pool = loan->pool;
  unlink_loan(pool, loan);
  if (slot->state == SLOT_EMPTY)
    slot_move(pool, slot, SLOT_OPENING);
  else if (slot->state == SLOT_IDLE)
    slot_move(pool, slot, SLOT_LENT);
  slot->loan = loan;
  loan->slot = slot;
  loan->stage = LOAN_HANDED;
  pool->driver->wakeup_notify(pool->driver, loan->wakeup_fd);
}

static void serve(mp_pool *pool) {
  mp_slot *slot;
  while (pool->first && !pool->closed && (slot = find_usable(pool)))
    hand_over(pool->first, slot);
}

/* Its wake-up is there already when something was there to be had. */
mp_status queue_enter(mp_loan *loan, mp_error *err) {
  mp_pool *pool = loan->pool;
  loan->wakeup_fd = pool->driver->wakeup_take(pool->driver);
  if (loan->wakeup_fd < 0)
    return mp_fail(err, MP_ERR_EXHAUSTED, 0, "no file descriptor left to wait with");
  link_loan(pool, loan);
  loan->stage = LOAN_QUEUED;
  serve(pool);
  return MP_WAIT;
}

bool queue_try(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  pool->driver->wakeup_clear(pool->driver, loan->wakeup_fd);
  if (pool->first == loan)
    serve(pool);
  return loan->stage == LOAN_HANDED;
}

/* ---- those that wait for a connect or a recovery: there is nothing else that would wake them ---- */

static bool may_be_reassigned(const mp_pool *pool, const mp_slot *slot) {
  const mp_loan *loan = slot->loan;
  return loan && loan->parked && loan->slot == slot && loan->tries <= pool->config.retries;
}

/* The one that came first. */
static mp_loan *find_parked(const mp_pool *pool) {
  mp_loan *found = NULL;
  unsigned count = pool->counts[SLOT_OPENING] + pool->counts[SLOT_RECOVERING];
  for (unsigned i = 0; count > 0 && i < pool->config.max_size; i++)
    if (may_be_reassigned(pool, &pool->slots[i]) && (!found || pool->slots[i].loan->ticket < found->ticket))
      found = pool->slots[i].loan;
  return found;
}

static void reassign(mp_loan *loan, mp_slot *slot) {
  mp_pool *pool = loan->pool;
  loan->parked = false;
  loan->left = loan->slot;
  slot_move(pool, slot, SLOT_LENT);
  slot->loan = loan;
  loan->slot = slot;
  loan->stage = LOAN_HANDED;
  pool->driver->wake(loan->left->session);
}

static void serve_parked(mp_pool *pool) {
  mp_loan *loan;
  while (pool->newest && !pool->closed && (loan = find_parked(pool)))
    reassign(loan, pool->newest);
}

void queue_serve(mp_pool *pool) {
  serve(pool);
  serve_parked(pool);
  queue_wake_first(pool);
}

void queue_wake_all(mp_pool *pool) {
  for (mp_loan *loan = pool->first; loan; loan = loan->next)
    pool->driver->wakeup_notify(pool->driver, loan->wakeup_fd);
  for (unsigned i = 0; i < pool->config.max_size; i++)
    if (pool->slots[i].loan && pool->slots[i].loan->parked)
      pool->driver->wake(pool->slots[i].session);
}
