/* Statements whose text depends on how the session reads SQL. */
#include "world.h"

it("asks within the time of the statement that follows") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_ASK, waits);
  expect_equal(ask_mode(loan, MP_SECOND), MP_WAIT);
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND);
  pass(MP_SECOND / 2);
  answer(session_of(loan), fine);
  expect_equal(step(loan), MP_DONE);
  plan(ON_QUERY, waits);
  expect_equal(query_as_asked(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND / 2);
}

it("gives up asking at the deadline, and knows that nothing was done") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_ASK, waits);
  ask_mode(loan, MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect_equal(fake.calls[ON_QUERY], 0);
}

it("asks another session when the first one is gone, and takes that one's answer") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_ASK, fails(2013, MP_PHASE_REPLY));
  expect_equal(ask_mode(loan, MP_SECOND), MP_DONE);
  expect(session_of(loan) == session_number(2));
}

it("does not move a statement that was written by an answer") {
  open_pool();
  mp_loan *loan = lend();
  ask_mode(loan, MP_SECOND);
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query_as_asked(loan), MP_FAILED);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect_equal(fake.opened, 1);
}

it("moves a statement with parameters to a session of the same mode") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query_written(loan), MP_DONE);
  expect(session_of(loan) == session_number(2));
}

it("does not move a statement with parameters to a session that would read it in another way") {
  mp_sql_mode others[] = {fake.mode, fake.mode, fake.mode, fake.mode};
  others[0].reading.no_backslash_escapes = false;
  others[1].escapes_known = true;
  others[2].utf8 = true;
  others[3].empty_string_is_null = true;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    spec_note("mode %zu", i);
    open_pool();
    mp_loan *loan = lend();
    mp_sql_mode first = fake.mode;
    fake.mode = others[i];
    plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
    expect_equal(query_written(loan), MP_FAILED);
    expect_equal(last.err.kind, MP_ERR_LOST);
    expect_equal(last.err.executed, MP_EXECUTED_NO);
    expect(last.err.retryable);
    expect_equal(fake.calls[ON_QUERY], i + 1);
    expect_equal(stats().idle, 1);
    fake.mode = first;
    free_loan(loan);
    drop_pool();
  }
}
