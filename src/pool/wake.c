/* Wake-ups of loans. */
#include "wake.h"

static bool is_in_memory(const mp_loan *loan) {
  return loan->pool->config.unpark != NULL;
}

mp_status wake_begin(mp_loan *loan, mp_error *err) {
  mp_driver *driver = loan->pool->driver;
  if (is_in_memory(loan))
    return MP_WAIT;
  loan->wakeup_fd = driver->wakeup_take(driver);
  if (loan->wakeup_fd < 0)
    return mp_fail(err, MP_ERR_EXHAUSTED, 0, "no file descriptor left to wait with");
  return MP_WAIT;
}

/* A loan that was served when it came into line was not asleep then: nobody will unpark it. */
mp_status wake_await(mp_loan *loan, int64_t until_ns, mp_wait *wait) {
  loan->asleep = is_in_memory(loan);
  *wait = (mp_wait){
      .fd = loan->asleep ? MP_PARKED : loan->wakeup_fd,
      .until_ns = loan->asleep && loan->stage == LOAN_HANDED ? 0 : until_ns,
  };
  return MP_WAIT;
}

/* It stays asleep until its next step, also when it cannot be told now. (The loan may be gone once it was.)
 */
void wake(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  if (!is_in_memory(loan))
    pool->driver->wakeup_notify(pool->driver, loan->wakeup_fd);
  else if (loan->asleep && !pool->config.unpark(pool->config.context, loan))
    pool->queue.unheard = true;
}

void wake_clear(mp_loan *loan) {
  if (!is_in_memory(loan))
    loan->pool->driver->wakeup_clear(loan->pool->driver, loan->wakeup_fd);
}

void wake_end(mp_loan *loan) {
  loan->asleep = false;
  if (is_in_memory(loan))
    return;
  loan->pool->driver->wakeup_give(loan->pool->driver, loan->wakeup_fd);
  loan->wakeup_fd = -1;
}
