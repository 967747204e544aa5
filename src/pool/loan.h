/* The loan: its making, and facts about it. */
#ifndef MYPOOL_POOL_LOAN_H
#define MYPOOL_POOL_LOAN_H

#include "pool.h"

/* The loan's session is known to be dead. Where a send would tell, nobody looks: false. */
bool loan_is_dead(const mp_loan *loan);

/* A session, and no failure that ended it. */
static inline bool loan_has_session(const mp_loan *loan) {
  return loan->stage == LOAN_HELD && !loan->slot->lost;
}

/* The loan is about to get a session, for its checkout or for a retry. */
static inline bool loan_is_acquiring(const mp_loan *loan) {
  return loan->stage > LOAN_NEW && loan->stage < LOAN_HELD;
}

/* The loan has no session from now on: what becomes of the slot is the caller's concern. */
void loan_spend(mp_loan *loan);

/* An operation that sends a statement, or reads its result, is unfinished. */
bool loan_has_statement(const mp_loan *loan);

/* Waits in place where a program has nothing else to do: true, go on. */
bool loan_wait_here(const mp_loan *loan, int64_t until_ns);

/* Ends its pause, if it pauses. */
void loan_end_pause(mp_loan *loan);

#endif
