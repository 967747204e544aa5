/* A pause of the caller's, by the same waiting as everything else. */
#include "pause.h"

#include "check.h"
#include "loan.h"
#include "time.h"
#include "wake.h"

mp_status mp_loan_pause(mp_loan *loan, int64_t duration_ns, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  mp_error_clear(err);
  if (loan->operation != OP_NONE)
    mp_loan_lose(loan);
  if (wake_begin(loan, err) == MP_FAILED)
    return MP_FAILED;
  loan->operation = OP_PAUSE;
  loan->pause_until_ns = add_time(pool_now(loan->pool), duration_ns);
  return pause_step(loan, wait);
}

mp_status pause_step(mp_loan *loan, mp_wait *wait) {
  if (pool_now(loan->pool) < loan->pause_until_ns)
    return wake_await(loan, loan->pause_until_ns, wait);
  loan_end_pause(loan);
  return MP_DONE;
}
