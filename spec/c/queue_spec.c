/* Waiting for a session: in order, and not for ever. */
#include <string.h>

#include "world.h"

static void one_slot(void) {
  config.max_size = 1;
  open_pool();
}

it("serves waiters in the order of their coming") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait(), *c = ask_and_wait();
  release(holder);
  expect_equal(step(c), MP_WAIT);
  expect_equal(step(b), MP_WAIT);
  expect_equal(step(a), MP_DONE);
  release(a);
  expect_equal(step(c), MP_WAIT);
  expect_equal(step(b), MP_DONE);
  release(b);
  expect_equal(step(c), MP_DONE);
}

it("notifies the waiter that it serves, and of no other") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  expect(!readable(wait_of(a).fd));
  release(holder);
  expect(readable(wait_of(a).fd));
  expect(!readable(wait_of(b).fd));
}

it("hands a released session over directly: who comes later cannot take it") {
  one_slot();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  release(holder);
  mp_loan *late = ask_and_wait();
  expect_equal(stats().idle, 0);
  expect_equal(stats().waiting, 1);
  expect_equal(step(waiter), MP_DONE);
  expect_equal(step(late), MP_WAIT);
  expect_equal(fake.opened, 1);
}

it("hands a slot to be opened over when the session that came back is closed") {
  one_slot();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  discard(holder);
  expect_equal(stats().opening, 1);
  expect_equal(step(waiter), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("waits no longer than the deadline") {
  one_slot();
  lend();
  mp_loan *waiter = ask_and_wait();
  expect_equal(last.wait.until_ns, fake.now_ns + 5 * MP_SECOND);
  pass(5 * MP_SECOND - 1);
  expect_equal(step(waiter), MP_WAIT);
  pass(1);
  expect_equal(step(waiter), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_EXHAUSTED);
  expect(strstr(last.err.message, "loan 1 for 5.0 s"));
  expect_equal(stats().timeouts, 1);
  expect_equal(stats().waiting, 0);
}

it("does not wait at all with a timeout of 0") {
  one_slot();
  lend();
  mp_loan *waiter = ask(0);
  expect_equal(last.wait.until_ns, fake.now_ns);
  expect_equal(step(waiter), MP_FAILED);
}

it("waits without limit when asked to") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *waiter = ask(MP_NEVER);
  expect_equal(last.wait.until_ns, MP_NEVER);
  pass(1000000 * MP_SECOND);
  expect_equal(step(waiter), MP_WAIT);
  release(holder);
  expect_equal(step(waiter), MP_DONE);
}

it("still takes a session that was handed over before the deadline, however late it looks") {
  one_slot();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  release(holder);
  pass(6 * MP_SECOND);
  expect_equal(step(waiter), MP_DONE);
}

it("serves the next when the first gave up") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *a = ask(MP_SECOND), *b = ask_and_wait();
  pass(MP_SECOND);
  expect_equal(step(a), MP_FAILED);
  release(holder);
  expect_equal(step(b), MP_DONE);
}

it("leaves the queue in order when one in the middle is freed") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait(), *c = ask_and_wait();
  free_loan(b);
  expect_equal(stats().waiting, 2);
  release(holder);
  expect_equal(step(a), MP_DONE);
  release(a);
  expect_equal(step(c), MP_DONE);
}

it("passes on what was handed to a waiter that is freed before it looked") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  release(holder);
  free_loan(a);
  expect(readable(wait_of(b).fd));
  expect_equal(step(b), MP_DONE);
  expect_equal(fake.opened, 1);
}

it("passes a slot to be opened on when its waiter is freed before it looked") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  discard(holder);
  release(a);
  expect_equal(step(b), MP_DONE);
}

it("makes idle again what was handed to a waiter that is released, with no other waiting") {
  one_slot();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  query(holder);
  release(holder);
  release(waiter);
  expect_equal(stats().idle, 1);
  expect(session_of(lend()) == session_number(1));
}

it("replaces a session that died between the release and the waiter's look") {
  one_slot();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  release(holder);
  dies(session_number(1));
  expect_equal(step(waiter), MP_DONE);
  expect_equal(fake.opened, 2);
  expect_equal(stats().stale, 1);
}

it("gives every freed slot to a waiter when an eviction empties the pool") {
  config.max_size = 3;
  open_pool();
  mp_loan *x = lend(), *y = lend();
  lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  evict();
  release(x);
  release(y);
  expect_equal(step(b), MP_DONE);
  expect_equal(step(a), MP_DONE);
  expect_equal(fake.opened, 5);
}

it("lets a connect go on whose loan gave up, and gives it to the next waiter") {
  one_slot();
  plan(ON_OPEN, waits);
  mp_loan *a = ask(MP_SECOND), *b = ask_and_wait();
  pass(MP_SECOND);
  expect_equal(step(a), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect(last.err.retryable);
  expect(readable(wait_of(b).fd));
  expect_equal(step(b), MP_WAIT);
  answer(session_number(1), fine);
  expect(readable(wait_of(b).fd));
  expect_equal(step(b), MP_DONE);
  expect_equal(fake.opened, 1);
}

it("lets a later checkout adopt a connect that nobody waits for") {
  open_pool();
  plan(ON_OPEN, waits);
  free_loan(ask_and_wait());
  expect_equal(stats().opening, 1);
  mp_loan *loan = ask_and_wait();
  answer(session_number(1), fine);
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.opened, 1);
}

it("finds connects that came to their ends without anybody, each of them") {
  config.max_size = 3;
  open_pool();
  plan_times(3, ON_OPEN, waits);
  mp_loan *a = ask_and_wait(), *b = ask_and_wait(), *c = ask_and_wait();
  free_loan(a);
  free_loan(b);
  free_loan(c);
  answer(session_number(1), fine);
  answer(session_number(2), fails(2002, MP_PHASE_CONNECT));
  answer(session_number(3), fine);
  lend();
  expect_equal(stats().idle, 1);
  expect_equal(stats().opening, 0);
  expect_equal(stats().connect_failures, 1);
  expect(session_number(2)->closed);
}

it("does not lend a session that died after its connect, while nobody waited for it") {
  one_slot();
  plan(ON_OPEN, waits);
  free_loan(ask_and_wait());
  answer(session_number(1), fine);
  session_number(1)->dead = true;
  lend();
  expect_equal(fake.opened, 2);
}

it("gives the retry of an opening that failed to the loan that came first") {
  open_pool();
  plan_times(2, ON_OPEN, waits);
  mp_loan *a = ask_and_wait(), *b = ask_and_wait(), *c = ask_and_wait();
  answer(session_number(1), fails(2002, MP_PHASE_CONNECT));
  expect_equal(step(a), MP_WAIT);
  answer(session_number(2), fails(2002, MP_PHASE_CONNECT));
  expect_equal(step(b), MP_WAIT);
  expect_equal(stats().waiting, 3);
  pass(MP_SECOND);
  plan_times(3, ON_OPEN, waits);
  expect_equal(step(c), MP_WAIT);
  expect_equal(step(b), MP_WAIT);
  expect_equal(stats().opening, 0);
  expect_equal(step(a), MP_WAIT);
  expect_equal(stats().opening, 1);
  answer(session_number(3), fine);
  expect_equal(step(a), MP_DONE);
  expect_equal(step(b), MP_WAIT);
  expect(session_of(b));
  expect(!session_of(c));
}

it("hands the opening of a loan that failed for good to the next waiter") {
  one_slot();
  plan(ON_OPEN, waits);
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  answer(session_number(1), fails(1045, MP_PHASE_CONNECT));
  expect_equal(step(a), MP_FAILED);
  expect(readable(wait_of(b).fd));
  expect_equal(step(b), MP_DONE);
}

it("keeps the place of a loan that was handed a dead session while none can be opened") {
  one_slot();
  mp_loan *holder = lend();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  release(holder);
  dies(session_number(1));
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  expect_equal(step(a), MP_WAIT);
  expect_equal(stats().waiting, 2);
  pass(MP_SECOND);
  expect_equal(step(b), MP_WAIT);
  expect_equal(step(a), MP_DONE);
}

it("fails, without losing anything, when no wake-up can be had to wait with") {
  one_slot();
  mp_loan *holder = lend();
  fake.no_wakeups = true;
  ask(5 * MP_SECOND);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_EXHAUSTED);
  expect_equal(stats().waiting, 0);
  release(holder);
  lend();
}

it("clears the wake-up of a waiter that has looked") {
  open_pool();
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  free_loan(a);
  expect(readable(wait_of(b).fd));
  expect_equal(step(b), MP_WAIT);
  expect(!readable(last.wait.fd));
  expect(last.wait.until_ns > fake.now_ns);
}

it("survives any number of sessions that fail one after the other") {
  static mp_session *s[64];
  config.max_size = 64;
  config.retries = 1000;
  open_pool();
  make_idle(64, s);
  plan_times(64, ON_RESET_READ, fails(1047, MP_PHASE_RESET));
  mp_loan *loan = lend();
  expect_equal(fake.opened, 65);
  expect_equal(stats().resets_failed, 64);
  expect_equal(stats().retries, 64);
  expect(session_of(loan) == session_number(65));
}

it("gives who waits for a connect the session that comes back meanwhile, and lets the connect go on") {
  open_pool();
  mp_loan *holder = lend();
  plan(ON_OPEN, waits);
  mp_loan *waiter = ask_and_wait();
  expect(!readable(wait_of(waiter).fd));
  release(holder);
  expect(readable(wait_of(waiter).fd));
  expect_equal(step(waiter), MP_DONE);
  expect(session_of(waiter) == session_number(1));
  expect_equal(stats().opening, 1);
  answer(session_number(2), fine);
  expect(session_of(lend()) == session_number(2));
}

it("gives it to the first of those that wait for connects, and the next one to the second") {
  config.max_size = 4;
  open_pool();
  mp_loan *holder = lend(), *other = lend();
  plan_times(2, ON_OPEN, waits);
  mp_loan *first = ask_and_wait(), *second = ask_and_wait();
  release(holder);
  expect(readable(wait_of(first).fd) && !readable(wait_of(second).fd));
  release(other);
  expect(readable(wait_of(second).fd));
  expect_equal(step(second), MP_DONE);
  expect_equal(step(first), MP_DONE);
  expect(session_of(first) == session_number(1));
}

it("opens a new session for who has tried enough old ones, whatever comes back") {
  config.max_size = 3;
  config.retries = 1;
  open_pool();
  mp_loan *holder = lend();
  mp_session *idle[2];
  make_idle(2, idle);
  plan_times(2, ON_RESET_READ, fails(2013, MP_PHASE_RESET));
  plan(ON_OPEN, waits);
  mp_loan *waiter = ask_and_wait();
  expect(session_of(waiter) == session_number(4));
  release(holder);
  expect(!readable(wait_of(waiter).fd));
  answer(session_number(4), fine);
  expect_equal(step(waiter), MP_DONE);
}

it("rather has a session that is late than none in time") {
  open_pool();
  mp_loan *holder = lend();
  plan(ON_OPEN, waits);
  mp_loan *waiter = ask_and_wait();
  release(holder);
  pass(5 * MP_SECOND);
  expect_equal(step(waiter), MP_DONE);
}

static void one_slot_and_line_of(unsigned most) {
  config.bounded_queue = true;
  config.max_waiting = most;
  one_slot();
}

it("refuses at once who comes when max_waiting wait already, and counts that") {
  one_slot_and_line_of(2);
  mp_loan *holder = lend(), *first = ask_and_wait(), *second = ask_and_wait();
  ask(5 * MP_SECOND);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_EXHAUSTED);
  expect(last.err.retryable);
  expect(
      strstr(last.err.message, "exhausted, 1 of 1 connections are lent and 2 checkouts wait (max_waiting)"));
  expect_equal(stats().refused, 1);
  expect_equal(stats().timeouts, 0);
  release(holder);
  expect_equal(step(first), MP_DONE);
  expect_equal(step(second), MP_WAIT);
  ask_and_wait();
  expect_equal(stats().refused, 1);
}

it("lets nobody wait where max_waiting is 0, and lends what is there") {
  one_slot_and_line_of(0);
  mp_loan *holder = lend();
  ask(5 * MP_SECOND);
  expect_equal(last.err.kind, MP_ERR_EXHAUSTED);
  release(holder);
  lend();
  expect_equal(stats().refused, 1);
}

it("leaves who has waited in line, however long that is, when its session proves dead") {
  one_slot_and_line_of(1);
  mp_loan *holder = lend(), *first = ask_and_wait();
  mp_session *session = session_of(holder);
  release(holder);
  ask_and_wait();
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  dies(session);
  expect_equal(step(first), MP_WAIT);
  expect_equal(stats().waiting, 2);
  expect_equal(stats().refused, 0);
}
