/* Loans that are out for longer than leak_after, and who is told of his own when all are lent. */
#include <string.h>

#include "world.h"

static void open_pool_with(int64_t leak_after_ns) {
  config.leak_after_ns = leak_after_ns;
  open_pool();
}

/* How many loans are reported now. */
static unsigned reported(void) {
  mp_holder holder;
  unsigned count = 0;
  while (mp_pool_next_overdue(pool, &holder))
    count++;
  return count;
}

it("reports a loan once it is out for as long, and only once") {
  open_pool_with(2 * MP_SECOND);
  lend();
  pass(2 * MP_SECOND - 1);
  expect_equal(reported(), 0);
  pass(1);
  expect_equal(reported(), 1);
  pass(100 * MP_SECOND);
  expect_equal(reported(), 0);
}

it("says where it was taken, on which connection, and for how long it is out") {
  open_pool_with(MP_SECOND);
  mp_loan *loan = lend();
  mp_holder holder;
  pass(3 * MP_SECOND);
  expect(mp_pool_next_overdue(pool, &holder));
  expect_equal(holder.age_ns, 3 * MP_SECOND);
  expect_equal(holder.id, mp_loan_id(loan));
  expect(strlen(holder.label) > 0);
}

it("reports each of several loans at its own time") {
  config.max_size = 3;
  open_pool_with(2 * MP_SECOND);
  lend();
  pass(MP_SECOND);
  lend();
  lend();
  pass(MP_SECOND);
  expect_equal(reported(), 1);
  pass(MP_SECOND);
  expect_equal(reported(), 2);
}

it("reports nothing of a loan that was released in time, and the next one of its session on its own") {
  open_pool_with(2 * MP_SECOND);
  release(lend());
  pass(5 * MP_SECOND);
  expect_equal(reported(), 0);
  lend();
  pass(MP_SECOND);
  expect_equal(reported(), 0);
  pass(MP_SECOND);
  expect_equal(reported(), 1);
}

it("reports nothing without leak_after") {
  open_pool();
  lend();
  pass(1000000 * MP_SECOND);
  expect_equal(reported(), 0);
}

it("lists the holders, the oldest first") {
  mp_holder holders[8];
  open_pool();
  mp_loan *first = lend();
  pass(MP_SECOND);
  mp_loan *second = lend();
  expect_equal(mp_pool_holders(pool, holders, 8), 2);
  expect_equal(holders[0].id, mp_loan_id(first));
  expect_equal(holders[1].id, mp_loan_id(second));
  expect_equal(mp_pool_holders(pool, holders, 1), 1);
  expect_equal(holders[0].age_ns, MP_SECOND);
}

it("tells an owner of the loan that he has already, and nobody else") {
  int me, other;
  config.max_size = 1;
  config.may_queue = false;
  open_pool();
  mp_loan *held = new_loan(), *mine = new_loan(), *his = new_loan();
  mp_loan_set_owner(held, &me);
  mp_loan_set_owner(mine, &me);
  mp_loan_set_owner(his, &other);
  expect_equal(checkout(held, 0), MP_DONE);
  expect_equal(checkout(mine, 0), MP_FAILED);
  expect(strstr(last.err.message, "this coroutine itself holds one"));
  expect_equal(checkout(his, 0), MP_FAILED);
  expect(!strstr(last.err.message, "itself"));
}
