/* While the server is down. */
#include <stdio.h>
#include <string.h>

#include "world.h"

static const fake_answer refused = {.status = MP_FAILED, .code = 2002, .phase = MP_PHASE_CONNECT};

it("pauses between attempts, longer each time, at most 300 ms, never twice alike") {
  int64_t longest = 300 * MP_MILLISECOND, pause = 20 * MP_MILLISECOND, before = 0;
  open_pool();
  plan_times(12, ON_OPEN, refused);
  mp_loan *loan = ask(3600 * MP_SECOND);
  for (int i = 0; i < 11; i++) {
    int64_t left = last.wait.until_ns - fake.now_ns;
    expect(left >= pause / 2 && left <= pause);
    expect(left != before);
    before = left;
    pass(left);
    expect_equal(step(loan), MP_WAIT);
    expect_equal(fake.opened, (unsigned)i + 2);
    pause = pause * 2 < longest ? pause * 2 : longest;
  }
  pass(MP_SECOND);
  expect_equal(step(loan), MP_DONE);
  expect_equal(stats().connect_failures, 12);
}

it("makes no attempt before the pause is over") {
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *loan = ask_and_wait();
  pass(last.wait.until_ns - fake.now_ns - 1);
  expect_equal(step(loan), MP_WAIT);
  expect_equal(fake.opened, 1);
  pass(1);
  expect_equal(step(loan), MP_DONE);
}

it("makes one attempt at a time while the server is down") {
  config.max_size = 5;
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *a = ask_and_wait();
  for (int i = 0; i < 3; i++)
    ask_and_wait();
  pass(MP_SECOND);
  plan(ON_OPEN, waits);
  expect_equal(step(a), MP_WAIT);
  expect_equal(stats().opening, 1);
  ask_and_wait();
  expect_equal(fake.opened, 2);
  expect_equal(stats().waiting, 4);
}

it("lets others connect as soon as one attempt succeeded") {
  config.max_size = 5;
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *a = ask_and_wait(), *b = ask_and_wait(), *c = ask_and_wait();
  pass(MP_SECOND);
  expect_equal(step(a), MP_DONE);
  expect(readable(wait_of(b).fd) && readable(wait_of(c).fd));
  expect_equal(step(c), MP_DONE);
  expect_equal(step(b), MP_DONE);
}

/* The server of a new pool is down, and so many wait for it. */
static void wait_for_server(unsigned max_size, mp_loan **waiting, unsigned count) {
  config.max_size = max_size;
  open_pool();
  plan(ON_OPEN, refused);
  plan_times(count, ON_OPEN, waits);
  for (unsigned i = 0; i < count; i++)
    waiting[i] = ask_and_wait();
  pass(MP_SECOND);
  expect_equal(step(waiting[0]), MP_WAIT);
}

/* What the wake-ups have woken goes on. */
static void step_woken(mp_loan **waiting, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (waiting[i]->stage == LOAN_HANDED)
      expect_equal(step(waiting[i]), MP_WAIT);
}

static void succeed(mp_loan *loan) {
  answer(session_of(loan), fine);
  expect_equal(step(loan), MP_DONE);
}

it("opens sessions step by step after an outage: with each success one more at a time") {
  static const unsigned at_a_time[] = {1, 2, 3, 4, 5, 5, 4, 3, 2, 1};
  mp_loan *waiting[10];
  wait_for_server(10, waiting, 10);
  for (unsigned i = 0; i < 10; i++) {
    expect_equal(stats().opening, at_a_time[i]);
    succeed(waiting[i]);
    step_woken(waiting, 10);
  }
  expect_equal(fake.opened, 11);
}

it("opens one session at a time again when the server goes down again") {
  mp_loan *waiting[6];
  wait_for_server(10, waiting, 6);
  succeed(waiting[0]);
  step_woken(waiting, 6);
  expect_equal(stats().opening, 2);
  answer(session_of(waiting[1]), refused);
  answer(session_of(waiting[2]), refused);
  expect_equal(step(waiting[1]), MP_WAIT);
  expect_equal(step(waiting[2]), MP_WAIT);
  expect_equal(stats().opening, 0);
  pass(MP_SECOND);
  expect_equal(step(waiting[1]), MP_WAIT);
  expect_equal(stats().opening, 1);
  ask_and_wait();
  expect_equal(stats().opening, 1);
}

it("gives the turn of a connect that is given up to whoever waits for one") {
  mp_loan *waiting[5];
  wait_for_server(10, waiting, 5);
  succeed(waiting[0]);
  release(waiting[1]); /* woken, has not begun */
  step_woken(waiting, 5);
  expect_equal(stats().opening, 2);
  release(waiting[2]); /* begun: it goes on for the next */
  step_woken(waiting, 5);
  expect_equal(stats().opening, 2);
  expect_equal(stats().waiting, 0);
}

it("opens any number at a time again when as many have been opened as there may be") {
  mp_loan *waiting[3];
  wait_for_server(3, waiting, 3);
  for (unsigned i = 0; i < 3; i++) {
    succeed(waiting[i]);
    step_woken(waiting, 3);
  }
  for (unsigned i = 0; i < 3; i++)
    discard(waiting[i]);
  plan_times(3, ON_OPEN, waits);
  for (unsigned i = 0; i < 3; i++)
    ask_and_wait();
  expect_equal(stats().opening, 3);
}

it("does not call a pool exhausted that has not opened all its sessions yet") {
  mp_loan *waiting[4];
  wait_for_server(10, waiting, 3);
  succeed(waiting[0]);
  step_woken(waiting, 3);
  waiting[3] = ask(MP_SECOND);
  expect_equal(last.status, MP_WAIT);
  pass(MP_SECOND);
  expect_equal(step(waiting[3]), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect(last.err.retryable);
}

it("forgets the failures after a success") {
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *a = ask_and_wait();
  pass(MP_SECOND);
  expect_equal(step(a), MP_DONE);
  lend();
  expect_equal(fake.opened, 3);
}

it("gives up at once when the next attempt would come after the deadline") {
  open_pool();
  plan(ON_OPEN, refused);
  ask(5 * MP_MILLISECOND);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect_equal(last.err.code, 2002);
  expect(last.err.retryable);
}

it("says why the server could not be reached when a waiter's time is up") {
  open_pool();
  plan_times(2, ON_OPEN, refused);
  ask_and_wait();
  mp_loan *late = ask(MP_MILLISECOND);
  expect_equal(last.status, MP_WAIT);
  pass(MP_MILLISECOND);
  expect_equal(step(late), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect_equal(last.err.code, 2002);
  expect_text(last.err.message, "cannot connect to a:1: failure 2002");
  expect(last.err.retryable);
}

/* Asks for a session in vain, for a second. */
static void ask_in_vain(void) {
  mp_loan *loan = ask(MP_SECOND);
  while (last.status == MP_WAIT) {
    pass(last.wait.until_ns - fake.now_ns);
    step(loan);
  }
  expect_equal(last.status, MP_FAILED);
}

it("tells how often the server was tried since it is down, and not those times when it was before") {
  char tried[64];
  open_pool();
  for (int i = 0; i < 2; i++) {
    uint64_t before = stats().connect_failures;
    fake.by_host[0] = refused;
    ask_in_vain();
    unsigned times = (unsigned)(stats().connect_failures - before);
    snprintf(tried, sizeof tried, "cannot connect to a:1: failure 2002 (tried %u times in ", times);
    expect(times > 2 && strstr(last.err.message, tried));
    fake.by_host[0] = (fake_answer){0};
    pass(MP_SECOND);
    mp_loan *served = ask(MP_SECOND);
    expect_equal(last.status, MP_DONE);
    mp_loan_discard(served);
  }
}

it("fails at once for everybody while the login is refused, and serves at once when it is not") {
  open_pool();
  plan_times(3, ON_OPEN, fails(1045, MP_PHASE_CONNECT));
  for (int i = 0; i < 3; i++) {
    ask(5 * MP_SECOND);
    expect_equal(last.status, MP_FAILED);
    expect_equal(last.err.code, 1045);
    expect(!last.err.retryable);
  }
  lend();
  expect_equal(stats().connect_failures, 3);
}

it("takes a refused login for a sign of life of a server that was down") {
  open_pool();
  plan(ON_OPEN, refused);
  plan(ON_OPEN, fails(1045, MP_PHASE_CONNECT));
  plan(ON_OPEN, waits);
  mp_loan *a = ask_and_wait(), *b = ask_and_wait(), *c = ask_and_wait();
  pass(MP_SECOND);
  expect_equal(step(a), MP_FAILED);
  expect_equal(last.err.code, 1045);
  expect_equal(step(b), MP_WAIT);
  expect_equal(step(c), MP_DONE);
}

it("makes nobody wait after a refusal that nobody waited for") {
  open_pool();
  plan(ON_OPEN, waits);
  free_loan(ask_and_wait());
  answer(session_number(1), fails(1049, MP_PHASE_CONNECT));
  lend();
  expect_equal(stats().connect_failures, 1);
}

it("passes the watch on when the first in the queue gives up") {
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  expect_equal(wait_of(b).until_ns, fake.now_ns + 5 * MP_SECOND);
  release(a);
  expect(readable(wait_of(b).fd));
  expect_equal(step(b), MP_WAIT);
  expect(last.wait.until_ns <= fake.now_ns + 20 * MP_MILLISECOND);
  pass(20 * MP_MILLISECOND);
  expect_equal(step(b), MP_DONE);
}

it("lets the owner of a running attempt fail, and the next in the queue keep the time") {
  config.max_size = 1;
  open_pool();
  plan(ON_OPEN, waits);
  mp_loan *a = ask(30 * MP_MILLISECOND), *b = ask_and_wait();
  pass(25 * MP_MILLISECOND);
  answer(session_number(1), refused);
  expect_equal(step(a), MP_FAILED);
  expect(readable(wait_of(b).fd));
  expect_equal(step(b), MP_WAIT);
  expect(last.wait.until_ns < fake.now_ns + 21 * MP_MILLISECOND);
}

it("still lends what is released while no session can be opened") {
  open_pool();
  mp_loan *holder = lend();
  plan(ON_OPEN, refused);
  mp_loan *waiter = ask_and_wait();
  release(holder);
  expect_equal(step(waiter), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("waits in a blocking program too, with the clock and not with a release") {
  config.may_queue = false;
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *loan = ask_and_wait();
  expect(last.wait.until_ns <= fake.now_ns + 20 * MP_MILLISECOND);
  pass(20 * MP_MILLISECOND);
  expect_equal(step(loan), MP_DONE);
}

it("counts a failed connect that nobody waited for") {
  open_pool();
  plan(ON_OPEN, waits);
  free_loan(ask_and_wait());
  answer(session_number(1), refused);
  mp_loan *loan = ask_and_wait();
  expect_equal(stats().connect_failures, 1);
  expect(last.wait.until_ns <= fake.now_ns + 20 * MP_MILLISECOND);
  mp_loan *late = ask(MP_MILLISECOND);
  pass(MP_MILLISECOND);
  expect_equal(step(late), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect(last.err.retryable);
  pass(20 * MP_MILLISECOND);
  expect_equal(step(loan), MP_DONE);
}

it("tells why earlier attempts failed when the last was cut short by the deadline") {
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *loan = ask(MP_SECOND);
  plan(ON_OPEN, waits);
  pass(20 * MP_MILLISECOND);
  expect_equal(step(loan), MP_WAIT);
  pass(MP_SECOND);
  answer(session_number(2), fails(2013, MP_PHASE_CONNECT));
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.code, 2002);
  expect(last.err.retryable);
}

it("tells why the last attempt failed when it came to its end in time") {
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *loan = ask(25 * MP_MILLISECOND);
  plan(ON_OPEN, fails(1040, MP_PHASE_CONNECT));
  pass(20 * MP_MILLISECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.code, 1040);
}

it("tells of a refusal for good, however late it comes") {
  open_pool();
  plan(ON_OPEN, refused);
  mp_loan *loan = ask(MP_SECOND);
  plan(ON_OPEN, waits);
  pass(20 * MP_MILLISECOND);
  expect_equal(step(loan), MP_WAIT);
  pass(MP_SECOND);
  answer(session_number(2), fails(1045, MP_PHASE_CONNECT));
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.code, 1045);
  expect(!last.err.retryable);
}

it("survives a session that could not even be made") {
  open_pool();
  mp_loan *loan = new_loan();
  plan(ON_OPEN, fails(2008, MP_PHASE_CONNECT));
  checkout(loan, 0);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect_equal(stats().size, 0);
}

it("forgets the failures also when the success was of a connect that nobody waited for") {
  config.max_size = 3;
  open_pool();
  plan_times(2, ON_OPEN, waits);
  mp_loan *a = ask_and_wait(), *b = ask(MP_MILLISECOND);
  free_loan(a);
  answer(session_number(2), refused);
  expect_equal(step(b), MP_FAILED);
  answer(session_number(1), fine);
  lend();
  lend();
  expect_equal(fake.opened, 3);
}
