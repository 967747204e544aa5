/* The queue: loans that wait, served in the order of their coming. A slot is handed to the
   first directly, so that nobody who comes later can take it. */
#include "queue.h"

#include "idle.h"
#include "servers.h"
#include "slots.h"
#include "time.h"
#include "wake.h"

/* Who waits until a server is back does not wait for what others hold. */
static void begin_waiting(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  loan->turn.since_ns = pool_now(pool);
  if (loan->turn.counted || loan->operation != OP_CHECKOUT || pool->counts[SLOT_EMPTY] > 0)
    return;
  loan->turn.counted = true;
  pool->stats.waits++;
}

static void end_waiting(const mp_loan *loan) {
  if (loan->turn.counted)
    loan->pool->stats.wait_ns += pool_now(loan->pool) - loan->turn.since_ns;
}

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
  pool->queue.left++;
  end_waiting(loan);
}

/* While the server is down the first in the queue keeps the time of the next attempt: whoever
   is the first now must look at the clock. */
void queue_wake_first(mp_pool *pool) {
  if (pool->queue.first && servers_are_down(pool))
    wake(pool->queue.first);
}

void queue_leave(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  if (loan->stage == LOAN_QUEUED)
    unlink_loan(pool, loan);
  wake_end(loan);
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
  wake(loan);
}

static void serve(mp_pool *pool) {
  mp_slot *slot;
  while (pool->queue.first && !pool->closed && (slot = find_usable(pool)))
    hand_over(pool->queue.first, slot);
}

/* The wake-up is notified already when something was there to be had. */
mp_status queue_enter(mp_loan *loan, mp_error *err) {
  mp_pool *pool = loan->pool;
  if (wake_begin(loan, err) == MP_FAILED)
    return MP_FAILED;
  begin_waiting(loan);
  link_loan(pool, loan);
  loan->stage = LOAN_QUEUED;
  serve(pool);
  return MP_WAIT;
}

bool queue_try(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  wake_clear(loan);
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

/* Those that could not be unparked have a slot already, or wait in a pool that is closed. */
static void wake_unheard(mp_pool *pool) {
  for (unsigned i = 0; i < pool->config.max_size; i++)
    if (pool->slots[i].loan && pool->slots[i].loan->stage == LOAN_HANDED)
      wake(pool->slots[i].loan);
  if (pool->closed)
    queue_wake_all(pool);
}

void queue_serve(mp_pool *pool) {
  bool unheard = pool->queue.unheard;
  pool->queue.unheard = false;
  serve(pool);
  serve_parked(pool);
  queue_wake_first(pool);
  if (unheard)
    wake_unheard(pool);
}

/* Whoever is told of one that is unparked may run finalizers, which take others out of the queue. */
static void wake_queued(mp_pool *pool) {
  uint64_t left = pool->queue.left;
  mp_loan *loan = pool->queue.first;
  while (loan) {
    wake(loan);
    loan = left == pool->queue.left ? loan->turn.next : pool->queue.first;
    left = pool->queue.left;
  }
}

void queue_wake_all(mp_pool *pool) {
  wake_queued(pool);
  for (unsigned i = 0; i < pool->config.max_size; i++)
    if (pool->slots[i].loan && pool->slots[i].loan->parked)
      pool->driver->wake(pool->slots[i].session);
}
