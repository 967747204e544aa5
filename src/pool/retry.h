/* The retry table: what a failure proves about the statement, and what becomes of the session. */
#ifndef MYPOOL_POOL_RETRY_H
#define MYPOOL_POOL_RETRY_H

#include "pool.h"

typedef struct mp_verdict {
  bool lost;   /* of no more use */
  bool retire; /* of use to this loan only: its server may not write */
  bool again;  /* the statement is proven not to have run, or declared harmless */
} mp_verdict;

/* Completes *err, as the driver left it, and says what to do with the session. `read_only`: the session began
   with transactions that may only read, which its server had it do. By MP_NEED_READ a write that is refused
   says nothing of the server. */
mp_verdict judge(mp_error *err, bool idempotent, bool read_only, mp_need need);

/* Likewise, of a connect. */
mp_verdict judge_connect(mp_error *err);

/* The error is the server's own word. */
bool is_answered(const mp_error *err);

#endif
