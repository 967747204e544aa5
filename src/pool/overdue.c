/* Loans that are out for too long. There is no timer: whoever calls asks whether there are any. */
#include "overdue.h"

#include "check.h"
#include "explain.h"
#include "time.h"

static bool is_held(const mp_slot *slot) {
  return slot->state == SLOT_LENT && slot->loan && slot->loan->stage == LOAN_HELD;
}

/* When a loan becomes overdue. */
static int64_t due_ns(const mp_pool *pool, const mp_loan *loan) {
  return add_time(loan->since_ns, pool->config.leak_after_ns);
}

void overdue_expect(mp_pool *pool, const mp_loan *loan) {
  if (pool->config.leak_after_ns == 0 || loan->reported)
    return;
  int64_t at_ns = due_ns(pool, loan);
  if (at_ns < pool->overdue.at_ns)
    pool->overdue.at_ns = at_ns;
}

/* Loans that have ended leave the time at which they would have been overdue: then, and only
   then, all are looked at. */
bool mp_pool_next_overdue(mp_pool *pool, mp_holder *holder) {
  CHECK_WHEN_LEFT(pool);
  if (pool->overdue.at_ns == MP_NEVER)
    return false;
  int64_t now_ns = pool_now(pool);
  if (now_ns < pool->overdue.at_ns)
    return false;
  overdue_expect_nothing(pool);
  bool found = false;
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    mp_loan *loan = is_held(&pool->slots[i]) ? pool->slots[i].loan : NULL;
    if (loan && !found && !loan->reported && now_ns >= due_ns(pool, loan)) {
      found = loan->reported = true;
      *holder = holder_of(loan, now_ns);
    } else if (loan) {
      overdue_expect(pool, loan);
    }
  }
  return found;
}
