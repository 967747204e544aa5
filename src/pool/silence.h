/* A server that stands still, or that no packet reaches any more, says nothing: what was sent to it would be
   waited for until its time limit, or for ever. */
#ifndef MYPOOL_POOL_SILENCE_H
#define MYPOOL_POOL_SILENCE_H

#include "pool.h"

/* Until when the operation of a loan that has its session may wait without a look at its server; in the past
   when that is due. MP_NEVER where nobody watches. */
int64_t silence_due_ns(mp_loan *loan);

/* Looks whether that server is there, asks it, and cuts its sessions in the end: the loan's operation fails
   in its next step then. False: the program, asked for a password, has ended that operation. */
bool silence_look(mp_loan *loan);

/* The operation has ended, by this. */
void silence_after_answer(mp_loan *loan, mp_status status, const mp_error *err);

/* Says why the session was lost, if it was cut. */
void silence_explain(const mp_loan *loan, mp_error *err);

#endif
