/* Waiting for a turn in memory: nobody needs a descriptor, and nobody is forgotten. */
#include "world.h"

static void one_slot(void) {
  config.max_size = 1;
  wait_in_memory();
  open_pool();
}

it("takes no wake-up for who waits in line, or pauses") {
  one_slot();
  lend();
  ask_and_wait();
  pause_for(new_loan(), MP_SECOND);
  expect_equal(fake.wakeups, 0);
}

it("unparks the one whose turn it is, and no other") {
  one_slot();
  mp_loan *holder = lend(), *a = ask_and_wait(), *b = ask_and_wait();
  expect(!has_come(wait_of(a)));
  release(holder);
  expect(has_come(wait_of(a)) && !has_come(wait_of(b)));
  expect_equal(step(a), MP_DONE);
  release(a);
  expect(has_come(wait_of(b)));
  expect_equal(step(b), MP_DONE);
}

it("waits on when it comes back for nothing") {
  one_slot();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  expect_equal(step(waiter), MP_WAIT);
  release(holder);
  expect(has_come(wait_of(waiter)));
  expect_equal(step(waiter), MP_DONE);
}

it("waits no longer than the deadline") {
  one_slot();
  lend();
  mp_loan *waiter = ask_and_wait();
  expect_equal(last.wait.until_ns, fake.now_ns + 5 * MP_SECOND);
  pass(5 * MP_SECOND);
  expect_equal(step(waiter), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_EXHAUSTED);
}

it("pauses for as long as it is told") {
  one_slot();
  mp_loan *loan = new_loan();
  expect_equal(pause_for(loan, MP_SECOND), MP_WAIT);
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_DONE);
}

it("gives the turn of one that is abandoned to the next") {
  one_slot();
  mp_loan *holder = lend(), *a = ask_and_wait(), *b = ask_and_wait();
  release(holder);
  abandon(a);
  expect(has_come(wait_of(b)));
  expect_equal(step(b), MP_DONE);
}

it("unparks all when the pool is closed") {
  one_slot();
  lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  close_pool();
  expect(has_come(wait_of(a)) && has_come(wait_of(b)));
  expect_equal(step(a), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
}

it("tries again to unpark one that could not be told, whatever happens next in the pool") {
  config.max_size = 2;
  wait_in_memory();
  open_pool();
  mp_loan *holder = lend(), *other = lend(), *waiter = ask_and_wait();
  nobody_hears = true;
  release(holder);
  expect(!has_come(wait_of(waiter)));
  nobody_hears = false;
  release(other);
  expect(has_come(wait_of(waiter)));
  expect_equal(step(waiter), MP_DONE);
}

it("tries again after the close, too") {
  one_slot();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  nobody_hears = true;
  close_pool();
  expect(!has_come(wait_of(waiter)));
  nobody_hears = false;
  release(holder);
  expect(has_come(wait_of(waiter)));
}

it("wakes the first, who keeps the time of the next attempt, while the server is down") {
  one_slot();
  plan_times(2, ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  mp_loan *first = ask_and_wait(), *second = ask_and_wait();
  abandon(first);
  expect(has_come(wait_of(second)));
}
