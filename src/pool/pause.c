/* A pause of the caller's, by the same waiting as everything else. */
#include "pause.h"

#include "check.h"
#include "loan.h"
#include "time.h"

mp_status mp_loan_pause(mp_loan *loan, int64_t duration_ns, mp_wait *wait, mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  mp_pool *pool = loan->pool;
  mp_error_clear(err);
  if (loan->operation != OP_NONE)
    mp_loan_lose(loan);
  loan->wakeup_fd = pool->driver->wakeup_take(pool->driver);
  if (loan->wakeup_fd < 0)
    return mp_fail(err, MP_ERR_EXHAUSTED, 0, "no file descriptor left to wait with");
  loan->operation = OP_PAUSE;
  loan->pause_until_ns = add_time(pool_now(pool), duration_ns);
  return pause_step(loan, wait);
}

mp_status pause_step(mp_loan *loan, mp_wait *wait) {
  *wait = (mp_wait){.fd = loan->wakeup_fd, .until_ns = loan->pause_until_ns};
  if (pool_now(loan->pool) < loan->pause_until_ns)
    return MP_WAIT;
  loan_end_pause(loan);
  return MP_DONE;
}
