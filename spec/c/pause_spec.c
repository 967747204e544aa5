/* Pauses of the caller's, by the waiting of everything else. */
#include "world.h"

it("pauses for as long as it is told, not less") {
  open_pool();
  mp_loan *loan = new_loan();
  expect_equal(pause_for(loan, MP_SECOND), MP_WAIT);
  expect(is_busy(loan));
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND);
  pass(MP_SECOND - 1);
  expect(!readable(last.wait.fd));
  expect_equal(step(loan), MP_WAIT);
  pass(1);
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.wakeups, 0);
  expect(!mp_loan_is_held(loan));
}

it("does not wait at all for a pause of no length") {
  open_pool();
  mp_loan *loan = new_loan();
  expect_equal(pause_for(loan, 0), MP_DONE);
  expect_equal(fake.wakeups, 0);
}

it("pauses on a loan that is held, on one that has ended, and after the close") {
  open_pool();
  mp_loan *held = lend(), *ended = lend();
  release(ended);
  close_pool();
  expect_equal(pause_for(held, MP_SECOND), MP_WAIT);
  expect_equal(pause_for(ended, MP_SECOND), MP_WAIT);
  pass(MP_SECOND);
  expect_equal(step(held), MP_DONE);
  expect_equal(step(ended), MP_DONE);
  expect_equal(query(held), MP_DONE);
}

it("checks out with a loan that has paused") {
  open_pool();
  mp_loan *loan = new_loan();
  pause_for(loan, MP_SECOND);
  pass(MP_SECOND);
  step(loan);
  expect_equal(checkout(loan, MP_SECOND), MP_DONE);
}

it("ends a pause, and keeps the session, when the loan goes on with something else") {
  open_pool();
  mp_loan *loan = lend();
  pause_for(loan, MP_SECOND);
  expect_equal(query(loan), MP_DONE);
  expect_equal(fake.wakeups, 0);
  expect(!session_number(1)->aborted);
}

it("ends a pause when another begins") {
  open_pool();
  mp_loan *loan = lend();
  pause_for(loan, MP_SECOND);
  pause_for(loan, 2 * MP_SECOND);
  expect_equal(fake.wakeups, 1);
  expect_equal(last.wait.until_ns, fake.now_ns + 2 * MP_SECOND);
}

it("gives the session up that is in the middle of a statement when a pause begins") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query(loan);
  expect_equal(pause_for(loan, MP_SECOND), MP_WAIT);
  expect(session_number(1)->aborted);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_DONE);
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
}

it("gives up a checkout that waits when a pause begins, and its place") {
  config.max_size = 1;
  open_pool();
  lend();
  mp_loan *loan = ask_and_wait();
  pause_for(loan, MP_SECOND);
  expect_equal(stats().waiting, 0);
  expect_equal(fake.wakeups, 1);
}

it("leaves the deadline of an open result alone") {
  open_pool();
  fake.rows = 1;
  mp_loan *loan = lend();
  int64_t start_ns = fake.now_ns;
  query_for(loan, 5 * MP_SECOND);
  pause_for(loan, MP_SECOND);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_DONE);
  plan(ON_FETCH, waits);
  expect_equal(fetch(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, start_ns + 5 * MP_SECOND);
}

it("gives the session of a loan back that is released or freed in a pause") {
  open_pool();
  mp_loan *a = lend(), *b = lend();
  pause_for(a, MP_SECOND);
  pause_for(b, MP_SECOND);
  release(a);
  free_loan(b);
  expect_equal(stats().idle, 2);
  expect_equal(fake.wakeups, 0);
  expect(!is_busy(a));
}

it("closes the session of a loan that is discarded in a pause") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  pause_for(loan, MP_SECOND);
  discard(loan);
  expect(session_number(1)->closed);
  expect_equal(fake.wakeups, 0);
}

it("ends the pause alone of a loan that is given up in it") {
  open_pool();
  mp_loan *loan = lend();
  pause_for(loan, MP_SECOND);
  lose(loan);
  expect(!is_busy(loan));
  expect_equal(query(loan), MP_DONE);
}

it("fails when no wake-up can be had to pause with, and leaves the loan as it was") {
  open_pool();
  mp_loan *loan = lend();
  fake.no_wakeups = true;
  expect_equal(pause_for(loan, MP_SECOND), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_EXHAUSTED);
  expect_equal(query(loan), MP_DONE);
}
