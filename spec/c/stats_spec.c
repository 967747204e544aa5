/* The counters. That opened - closed = idle + lent is checked after every step of every spec. */
#include "world.h"

it("counts checkouts that succeeded, not those that failed") {
  config.may_queue = false;
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend();
  ask(0);
  expect_equal(stats().checkouts, 1);
  release(loan);
  lend();
  expect_equal(stats().checkouts, 2);
}

it("counts a checkout once, however often it had to wait") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  query(holder);
  release(holder);
  step(waiter);
  step(waiter);
  reply(session_number(1));
  expect_equal(step(waiter), MP_DONE);
  expect_equal(stats().checkouts, 2);
}

it("says how many sessions are idle, lent and opening, and how many loans wait") {
  config.max_size = 3;
  open_pool();
  mp_loan *idle = lend(), *lent = lend();
  (void)lent;
  release(idle);
  mp_stats s = stats();
  expect_equal(s.size, 2);
  expect_equal(s.idle, 1);
  expect_equal(s.lent, 1);
  expect_equal(s.opening, 0);
  expect_equal(s.waiting, 0);
  lend();
  plan(ON_OPEN, waits);
  ask_and_wait();
  ask_and_wait();
  s = stats();
  expect_equal(s.size, 3);
  expect_equal(s.lent, 2);
  expect_equal(s.opening, 1);
  expect_equal(s.waiting, 1);
}

it("counts connects that failed neither as opened nor as closed") {
  open_pool();
  plan(ON_OPEN, fails(1045, MP_PHASE_CONNECT));
  ask(MP_SECOND);
  expect_equal(stats().opened, 0);
  expect_equal(stats().closed, 0);
  expect_equal(stats().connect_failures, 1);
}

it("counts each closed session under one cause") {
  mp_session *s[6];
  config.max_size = 6;
  open_pool();
  make_idle(6, s);
  discard(lend());
  expect_equal(stats().discarded, 1);
  dies(s[4]);
  free_loan(lend());
  expect_equal(stats().stale, 1);
  pass(600 * MP_SECOND);
  free_loan(lend());
  expect_equal(stats().expired, 4);
  evict();
  expect_equal(stats().retired, 1);
  expect_equal(stats().closed, 7);
}

it("counts no retry where nothing was tried again") {
  config.retries = 0;
  open_pool();
  mp_loan *holder = lend(), *other = lend(), *waiter = ask_and_wait();
  release(holder);
  dies(session_number(1));
  expect_equal(step(waiter), MP_FAILED);
  expect_equal(stats().retries, 0);
  release(other);
}

it("counts a waiter that is served as waiting no longer") {
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend();
  ask_and_wait();
  expect_equal(stats().waiting, 1);
  release(holder);
  expect_equal(stats().waiting, 0);
  expect_equal(stats().lent, 1);
}

it("counts who stood in line for what others hold, once each, and for how long") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_loan *holder = lend(), *waiter = ask_and_wait(), *in_vain = ask(2 * MP_SECOND);
  expect_equal(stats().waits, 2);
  query(holder);
  pass(MP_SECOND);
  release(holder);
  dies(session_number(1));
  expect_equal(step(waiter), MP_DONE);
  expect_equal(stats().wait_ns, MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(in_vain), MP_FAILED);
  expect_equal(stats().waits, 2);
  expect_equal(stats().wait_ns, 3 * MP_SECOND);
  expect_equal(stats().max_size, 1);
}

it("counts no wait for a connect, or for a server that is down") {
  config.max_size = 2;
  open_pool();
  plan(ON_OPEN, waits);
  ask_and_wait();
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  ask_and_wait();
  pass(MP_SECOND);
  expect_equal(stats().waits, 0);
}

it("counts no wait in a program that cannot wait") {
  config.may_queue = false;
  config.max_size = 1;
  open_pool();
  lend();
  ask(MP_SECOND);
  expect_equal(stats().waits, 0);
}

it("counts how long loans lasted that ended, however they did") {
  config.max_size = 3;
  open_pool();
  mp_loan *first = lend(), *second = lend(), *third = lend();
  pass(MP_SECOND);
  release(first);
  expect_equal(stats().lent_ns, MP_SECOND);
  abandon(second);
  expect_equal(stats().lent_ns, 2 * MP_SECOND);
  pass(MP_SECOND);
  free_loan(second);
  discard(third);
  expect_equal(stats().lent_ns, 4 * MP_SECOND);
}

it("counts a loan to its release, also one that lost its session or got another") {
  open_pool();
  make_one_idle();
  mp_loan *moved = lend();
  pass(MP_SECOND);
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  query(moved);
  expect_equal(stats().retries, 1);
  pass(MP_SECOND);
  release(moved);
  expect_equal(stats().lent_ns, 2 * MP_SECOND);
  mp_loan *lost = lend();
  time_out(lost);
  int64_t before_ns = stats().lent_ns;
  pass(MP_SECOND);
  release(lost);
  expect(stats().lent_ns >= before_ns + MP_SECOND);
}

it("counts the time of connects, not that until somebody looks at them") {
  config.max_size = 2;
  open_pool();
  plan(ON_OPEN, waits);
  mp_loan *gone = ask_and_wait();
  pass(MP_SECOND);
  free_loan(gone);
  answer(session_number(1), fine);
  pass(60 * MP_SECOND);
  lend();
  expect_equal(stats().opened, 1);
  expect_equal(stats().connect_ns, MP_SECOND);
}

it("counts the time of connects that fail, and of one that is cut") {
  config.max_size = 1;
  open_pool();
  plan(ON_OPEN, waits);
  mp_loan *refused = ask_and_wait();
  pass(MP_SECOND);
  answer(session_number(1), fails(1045, MP_PHASE_CONNECT));
  expect_equal(step(refused), MP_FAILED);
  expect_equal(stats().connect_ns, MP_SECOND);
  plan(ON_OPEN, waits);
  pass(60 * MP_SECOND);
  mp_loan *cut = ask_and_wait();
  pass(MP_SECOND);
  close_pool();
  expect_equal(step(cut), MP_FAILED);
  expect_equal(stats().connect_ns, 2 * MP_SECOND);
}
