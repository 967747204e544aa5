/* When a reset is sent, waited for, put aside and believed. Decides; checkout.c acts on the answer. */
#ifndef MYPOOL_POOL_RESET_H
#define MYPOOL_POOL_RESET_H

#include "pool.h"

/* How long a reset may stay unanswered before another session is taken, where there is one. */
enum { RESET_SLOW_NS = 100 * MP_MILLISECOND };

typedef enum reset_answer {
  RESET_DONE,   /* the session is clean */
  RESET_WAIT,   /* *wait says for what */
  RESET_SLOW,   /* likewise; another session would be better, where there is one */
  RESET_FAILED, /* *err says how: close the session */
  RESET_EXPIRED /* the deadline of the checkout has passed; the reset goes on */
} reset_answer;

/* The reset may be sent together with the statement that is about to be. */
bool reset_may_go_along(const mp_loan *loan);

/* The reset was sent together with a statement, and the session is not one that can be given back with it. */
bool reset_has_gone_astray(const mp_loan *loan);

/* At a release: sends the reset, unless the loan needs none, or it was sent before. False: the session must
   be closed. */
bool reset_send(mp_loan *loan, int64_t now_ns);

/* In the middle of a loan: sends a reset and begins to read its replies, as a driver's operation. */
mp_status reset_start(mp_loan *loan, mp_error *err);

/* Reads the replies that are pending in the session of a checkout. */
reset_answer reset_read(mp_loan *loan, int64_t now_ns, mp_wait *wait, mp_error *err);
reset_answer reset_step(mp_loan *loan, mp_wait *wait, mp_error *err);

/* The reset goes on, for whoever takes the session next. */
void reset_put_aside(mp_loan *loan);

static inline bool reset_is_pending(const mp_slot *slot) {
  return slot->reset.pending;
}

static inline bool reset_is_put_aside(const mp_slot *slot) {
  return slot->reset.slow;
}

/* The reset was sent so recently that it is too early to take another session instead. */
static inline bool reset_is_recent(const mp_slot *slot, int64_t now_ns) {
  return now_ns - slot->reset.sent_ns < RESET_SLOW_NS;
}

/* The session is new. */
static inline void reset_clear(mp_slot *slot) {
  slot->reset.pending = slot->reset.begun = slot->reset.partial = slot->reset.slow = false;
}

/* The replies have had all the time that they may take; and the failure that tells so. */
bool reset_is_late(const mp_pool *pool, const mp_slot *slot, int64_t now_ns);
mp_status reset_fail_late(mp_error *err);

#endif
