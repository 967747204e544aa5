/* New sessions are shown to the user's on_connect, whose statements become part of their
   baseline. */
#include "world.h"

static void hooked_pool(void) {
  config.hooked = true;
  open_pool();
}

/* As a caller with an on_connect of one statement does. */
static mp_loan *lend_prepared(void) {
  mp_loan *loan = lend();
  if (mp_loan_is_fresh(loan)) {
    record(loan, true);
    expect_equal(query(loan), MP_DONE);
    record(loan, false);
  }
  return loan;
}

it("shows each session once, when it is new") {
  hooked_pool();
  mp_loan *loan = lend();
  expect(mp_loan_is_fresh(loan));
  record(loan, true);
  expect(mp_loan_is_fresh(loan));
  record(loan, false);
  expect(!mp_loan_is_fresh(loan));
  query(loan);
  release(loan);
  expect(!mp_loan_is_fresh(lend()));
  expect(mp_loan_is_fresh(lend()));
}

it("records what is run between, and nothing after") {
  hooked_pool();
  mp_loan *loan = lend_prepared();
  query(loan);
  expect_equal(session_number(1)->recorded, 1);
}

it("shows a session again that was given back before anything was run on it") {
  hooked_pool();
  release(lend());
  mp_loan *loan = lend();
  expect(session_of(loan) == session_number(1));
  expect(mp_loan_is_fresh(loan));
}

it("shows the next session of a slot, although its last was shown") {
  config.max_size = 1;
  hooked_pool();
  discard(lend_prepared());
  expect(mp_loan_is_fresh(lend()));
}

it("calls no session fresh of a loan that has none") {
  hooked_pool();
  mp_loan *loan = new_loan();
  expect(!mp_loan_is_fresh(loan));
  checkout(loan, MP_SECOND);
  lose(loan);
  expect(!mp_loan_is_fresh(loan));
  record(loan, true);
  expect(!session_number(1)->recording);
}

it("needs no reset for what on_connect did") {
  hooked_pool();
  release(lend_prepared());
  expect_equal(stats().resets_sent, 0);
  expect_equal(stats().idle, 1);
}

it("retries the first statement after on_connect, on a session that was shown before") {
  hooked_pool();
  mp_loan *a = lend_prepared(), *b = lend_prepared();
  release(a);
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(b), MP_DONE);
  expect(session_of(b) == session_number(1));
}

it("does not send a first statement to a session that on_connect has not seen") {
  hooked_pool();
  mp_loan *loan = lend_prepared();
  dies(session_number(1));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.retryable && last.err.fatal);
  expect_equal(session_number(2)->queries, 0);
  expect_equal(mp_loan_id(loan), 0);
}

it("does not send it when that session took its time to open either") {
  hooked_pool();
  mp_loan *loan = lend_prepared();
  dies(session_number(1));
  plan(ON_OPEN, waits);
  expect_equal(query(loan), MP_WAIT);
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect(last.err.retryable && last.err.fatal);
}

it("leaves such a session to the next checkout, which shows it") {
  hooked_pool();
  mp_loan *loan = lend_prepared();
  dies(session_number(1));
  query(loan);
  expect_equal(stats().idle, 1);
  expect_equal(stats().lent, 0);
  mp_loan *next = lend();
  expect(session_of(next) == session_number(2));
  expect(mp_loan_is_fresh(next));
  release(loan);
  expect_equal(stats().lent, 1);
}

it("hands such a session to who waits") {
  config.max_size = 1;
  hooked_pool();
  mp_loan *loan = lend_prepared(), *waiter = ask_and_wait();
  dies(session_number(1));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(step(waiter), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("counts the idle time of such a session from then on") {
  config.idle_timeout_ns = 10 * MP_SECOND;
  hooked_pool();
  mp_loan *loan = lend_prepared();
  pass(100 * MP_SECOND);
  dies(session_number(1));
  query(loan);
  pass(9 * MP_SECOND);
  expect(session_of(lend()) == session_number(2));
}

it("remembers that a harmless statement may have run before it found such a session") {
  hooked_pool();
  mp_loan *loan = lend_prepared();
  plan(ON_QUERY, fails(2013, MP_PHASE_REPLY));
  expect_equal(query_idempotent(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect(!last.err.retryable);
}

it("sends a retried statement to a new session of a pool without on_connect") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  expect_equal(query(loan), MP_DONE);
  expect(mp_loan_is_fresh(loan));
}

it("does not move a statement of on_connect to another session") {
  hooked_pool();
  mp_loan *other = lend_prepared(), *loan = lend();
  release(other);
  record(loan, true);
  dies(session_number(2));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.retryable && last.err.fatal);
  expect_equal(session_number(1)->queries, 1);
}

it("closes a session that comes back in the middle of on_connect") {
  hooked_pool();
  mp_loan *loan = lend();
  record(loan, true);
  query(loan);
  release(loan);
  expect(session_number(1)->closed);
  expect_equal(stats().discarded, 1);
  expect_equal(fake.calls[ON_RESET_SEND], 0);
}

it("does not lend a session whose on_connect timed out, though its statement was stopped") {
  hooked_pool();
  mp_loan *loan = lend();
  record(loan, true);
  mp_session *s = time_out(loan);
  expect_equal(s->recoveries, 1);
  record(loan, false);
  answer(s, fine);
  expect(mp_loan_is_fresh(lend()));
  expect(s->closed);
}

it("shows no session again that was recovered") {
  hooked_pool();
  mp_loan *loan = lend_prepared();
  mp_session *s = time_out(loan);
  answer(s, fine);
  mp_loan *next = lend();
  expect(session_of(next) == s);
  expect(!mp_loan_is_fresh(next));
}

it("does not hold a half-made session against the next one in its slot") {
  config.max_size = 1;
  hooked_pool();
  mp_loan *loan = lend();
  record(loan, true);
  free_loan(loan);
  release(lend());
  expect_equal(stats().idle, 1);
}
