/* The queue: loans that wait, served in the order of their coming. A slot is handed to the
   first directly, so that nobody who comes later can take it. */
#include "queue.h"

#include "idle.h"
#include "servers.h"
#include "slots.h"

/* Puts the loan in line by its ticket: one that comes back, because what it was handed proved of no use, has
   its old turn again. */
static void link_loan(mp_pool *pool, mp_loan *loan) {
  mp_loan *before = pool->queue.last;
  while (before && before->turn.ticket > loan->turn.ticket)
    before = before->turn.previous;
  loan->turn.previous = before;
  loan->turn.next = before ? before->turn.next : pool->queue.first;
  if (loan->turn.next)
    loan->turn.next->turn.previous = loan;
  else
    pool->queue.last = loan;
  if (before)
    before->turn.next = loan;
  else
    pool->queue.first = loan;
  pool->queue.count++;
}

static void unlink_loan(mp_pool *pool, mp_loan *loan) {
  if (loan->turn.previous)
    loan->turn.previous->turn.next = loan->turn.next;
  else
    pool->queue.first = loan->turn.next;
  if (loan->turn.next)
    loan->turn.next->turn.previous = loan->turn.previous;
  else
    pool->queue.last = loan->turn.previous;
  loan->turn.next = loan->turn.previous = NULL;
  pool->queue.count--;
}

/* While the server is down the first in the queue keeps the time of the next attempt: whoever
   is the first now must look at the clock. */
void queue_wake_first(mp_pool *pool) {
  if (pool->queue.first && servers_are_down(pool))
    pool->driver->wakeup_notify(pool->driver, pool->queue.first->wakeup_fd);
}

void queue_leave(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  if (loan->stage == LOAN_QUEUED)
    unlink_loan(pool, loan);
  pool->driver->wakeup_give(pool->driver, loan->wakeup_fd);
  loan->wakeup_fd = -1;
}

/* A slot that the first in the queue could use now: its state tells how. */
static mp_slot *find_usable(mp_pool *pool) {
  return idle_newest(pool) ? idle_newest(pool) : slot_find_other(pool);
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
  while (pool->queue.first && !pool->closed && (slot = find_usable(pool)))
    hand_over(pool->queue.first, slot);
}

/* The wake-up is notified already when something was there to be had. */
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
  if (pool->queue.first == loan)
    serve(pool);
  return loan->stage == LOAN_HANDED;
}

/* ---- those that wait for a connect or a recovery: there is nothing else that would wake them ---- */

static bool may_be_reassigned(const mp_pool *pool, const mp_slot *slot) {
  const mp_loan *loan = slot->loan;
  return loan && loan->parked && loan->slot == slot && loan->tries <= pool->config.retries;
}

/* The parked loan that came first. */
static mp_loan *find_parked(const mp_pool *pool) {
  mp_loan *found = NULL;
  unsigned count = pool->counts[SLOT_OPENING] + pool->counts[SLOT_RECOVERING];
  for (unsigned i = 0; count > 0 && i < pool->config.max_size; i++)
    if (may_be_reassigned(pool, &pool->slots[i]) &&
        (!found || pool->slots[i].loan->turn.ticket < found->turn.ticket))
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
  while (idle_newest(pool) && !pool->closed && (loan = find_parked(pool)))
    reassign(loan, idle_newest(pool));
}

void queue_serve(mp_pool *pool) {
  serve(pool);
  serve_parked(pool);
  queue_wake_first(pool);
}

void queue_wake_all(mp_pool *pool) {
  for (mp_loan *loan = pool->queue.first; loan; loan = loan->turn.next)
    pool->driver->wakeup_notify(pool->driver, loan->wakeup_fd);
  for (unsigned i = 0; i < pool->config.max_size; i++)
    if (pool->slots[i].loan && pool->slots[i].loan->parked)
      pool->driver->wake(pool->slots[i].session);
}
