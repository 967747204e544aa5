/* A server that may not write any more: what becomes of the other sessions, and how many are opened. */
#include "world.h"

/* A write that fails so, as the second statement of a loan. */
static mp_session *fail_write(mp_loan *loan) {
  mp_session *s = session_of(loan);
  query(loan);
  plan(ON_QUERY, fails(1290, MP_PHASE_REPLY));
  expect_equal(query(loan), MP_FAILED);
  return s;
}

static void fail_write_of_a_loan(void) {
  mp_loan *loan = lend();
  fail_write(loan);
  release(loan);
}

it("retires every session that was opened before: idle ones at once, lent ones at their release") {
  mp_session *s[5];
  config.max_size = 6;
  open_pool();
  make_idle(5, s);
  mp_loan *reader = lend(), *loan = lend();
  mp_session *lent = session_of(reader);
  fail_write(loan);
  expect_equal(stats().size, 2);
  expect_equal(query(reader), MP_DONE);
  release(reader);
  expect(lent->closed);
  release(loan);
  expect_equal(stats().size, 0);
  expect_equal(stats().retired, 4);
  expect_equal(stats().discarded, 1);
}

it("retires what is being connected at that time, too") {
  config.max_size = 3;
  open_pool();
  mp_loan *loan = lend();
  plan(ON_OPEN, waits);
  mp_loan *other = ask_and_wait();
  fail_write(loan);
  answer(session_number(2), fine);
  expect_equal(step(other), MP_DONE);
  release(other);
  expect(session_number(2)->closed);
}

it("opens no more than one connection for each write that fails while the server stays so") {
  mp_session *s[5];
  config.max_size = 6;
  open_pool();
  make_idle(5, s);
  fail_write_of_a_loan();
  make_idle(5, s); /* for readers */
  unsigned opened = fake.opened;
  for (unsigned i = 1; i <= 20; i++) {
    fail_write_of_a_loan();
    expect(fake.opened <= opened + i);
    expect(stats().idle >= 4);
  }
}

it("lends a new connection after a write that failed, for the old ones lead to the same server") {
  mp_session *s[3];
  config.max_size = 4;
  open_pool();
  fail_write_of_a_loan();
  make_idle(3, s);
  fail_write_of_a_loan();
  unsigned opened = fake.opened;
  mp_loan *loan = lend();
  expect(session_of(loan) == session_number(opened + 1));
  expect(session_of(lend()) == s[1]);
  expect_equal(fake.opened, opened + 1);
}

it("retires what leads to the old server once a new connection leads to another") {
  mp_session *s[5];
  config.max_size = 6;
  fake.server = 1;
  open_pool();
  make_idle(5, s);
  fail_write_of_a_loan();
  make_idle(5, s);
  fail_write_of_a_loan();
  fake.server = 2;
  mp_loan *loan = lend();
  expect_equal(session_of(loan)->server, 2);
  expect_equal(stats().idle, 0);
  expect_equal(query(loan), MP_DONE);
  mp_session *lent = session_of(loan);
  release(loan);
  expect(session_of(lend()) == lent);
}

it("takes a server for another one that fails after the next failover, or much later") {
  mp_session *s[3];
  config.max_size = 4;
  fake.server = 1;
  open_pool();
  fail_write_of_a_loan();
  fake.server = 2;
  make_idle(3, s);
  fail_write_of_a_loan();
  expect_equal(stats().idle, 0);
  make_idle(3, s);
  fail_write_of_a_loan();
  expect_equal(stats().idle, 2);
  pass(61 * MP_SECOND);
  fail_write_of_a_loan();
  expect_equal(stats().idle, 0);
}

it("lends what is idle where no place for a new connection is left") {
  mp_session *s[2];
  config.max_size = 2;
  open_pool();
  fail_write_of_a_loan();
  make_idle(2, s);
  mp_loan *loan = lend();
  expect(fail_write(loan) == s[1]);
  expect(session_of(lend()) == s[0]);
}

it("does the same whichever write it was: the first of its loan, too") {
  mp_session *s[3];
  config.max_size = 4;
  open_pool();
  make_idle(3, s);
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(1836, MP_PHASE_REPLY));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(stats().idle, 0);
  release(loan);
  expect_equal(stats().size, 0);
}
