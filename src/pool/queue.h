/* The queue: loans that wait, served in the order of their coming. */
#ifndef MYPOOL_POOL_QUEUE_H
#define MYPOOL_POOL_QUEUE_H

#include "pool.h"

/* Puts the loan in line, and serves it at once where there is something. MP_WAIT, or MP_FAILED for want of a
   descriptor. */
mp_status queue_enter(mp_loan *loan, mp_error *err);

/* Takes the loan out of line, if it still is in it, and gives its wake-up back. */
void queue_leave(mp_loan *loan);

/* The loan was woken: true when it was handed a slot. */
bool queue_try(mp_loan *loan);

static inline bool queue_is_empty(const mp_pool *pool) {
  return !pool->queue.first;
}

static inline unsigned queue_count(const mp_pool *pool) {
  return pool->queue.count;
}

/* Somebody waits who came before the loan. */
static inline bool queue_has_earlier(const mp_loan *loan) {
  const mp_loan *first = loan->pool->queue.first;
  return first && first->turn.ticket < loan->turn.ticket;
}

static inline bool queue_is_first(const mp_loan *loan) {
  return loan->pool->queue.first == loan;
}

/* The checkout begins: its turn among those that wait, if it comes to that. */
static inline void queue_take_ticket(mp_loan *loan) {
  loan->turn.ticket = loan->pool->queue.tickets++;
  loan->turn.has_waited = false;
}

/* Call it whenever a slot may have become of use. */
void queue_serve(mp_pool *pool);

void queue_wake_first(mp_pool *pool);
void queue_wake_all(mp_pool *pool);

#endif
