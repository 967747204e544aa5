/* Nothing waits for ever: every wait has one absolute deadline. */
#include "world.h"

it("waits for a statement until its deadline, fixed at the call") {
  open_pool();
  mp_loan *loan = lend();
  int64_t start_ns = fake.now_ns;
  plan(ON_QUERY, waits);
  query_for(loan, 3 * MP_SECOND);
  expect_equal(last.wait.until_ns, start_ns + 3 * MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, start_ns + 3 * MP_SECOND);
}

it("gives a statement up at its deadline, not before, and does not know whether it ran") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query_for(loan, MP_SECOND);
  pass(MP_SECOND - 1);
  expect_equal(step(loan), MP_WAIT);
  pass(1);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect(last.err.fatal && !last.err.retryable);
  expect_equal(stats().timeouts, 1);
  expect_equal(mp_loan_id(loan), 0);
}

it("takes an answer that is there although the deadline has passed") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query_for(loan, MP_SECOND);
  answer(session_number(1), fine);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_DONE);
}

it("uses the pool's query_timeout for statements that name none") {
  config.query_timeout_ns = 4 * MP_SECOND;
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query(loan);
  expect_equal(last.wait.until_ns, fake.now_ns + 4 * MP_SECOND);
}

it("waits without limit when neither the statement nor the pool has one") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query(loan);
  expect_equal(last.wait.until_ns, MP_NEVER);
  pass(1000000 * MP_SECOND);
  expect_equal(step(loan), MP_WAIT);
}

it("reads rows and further results under the deadline of their statement") {
  open_pool();
  fake.rows = 2;
  mp_loan *loan = lend();
  int64_t start_ns = fake.now_ns;
  query_for(loan, 2 * MP_SECOND);
  pass(MP_SECOND);
  plan(ON_FETCH, waits);
  expect_equal(fetch(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, start_ns + 2 * MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(session_number(1)->recoveries, 1);
}

it("goes on with a row when it has arrived, and puts it where the caller said at first") {
  open_pool();
  fake.rows = 1;
  mp_row row;
  mp_loan *loan = lend();
  query(loan);
  plan(ON_FETCH, waits);
  expect_equal(mp_loan_fetch(loan, &row, &last.wait, &last.err), MP_WAIT);
  expect_equal(step(loan), MP_WAIT);
  expect(!row.cells);
  answer(session_number(1), fine);
  expect_equal(step(loan), MP_DONE);
  expect_text(row.cells[0], "cell");
}

it("goes on with the next result when it has arrived") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_NEXT_RESULT, waits);
  expect_equal(next_result(loan), MP_WAIT);
  answer(session_number(1), fine);
  expect_equal(step(loan), MP_DONE);
}

it("takes the deadline of a statement for absolute, across its retries") {
  open_pool();
  mp_loan *loan = lend();
  int64_t start_ns = fake.now_ns;
  dies(session_number(1));
  plan(ON_OPEN, waits);
  plan(ON_QUERY, waits);
  query_for(loan, 3 * MP_SECOND);
  expect_equal(last.wait.until_ns, start_ns + 3 * MP_SECOND);
  pass(2 * MP_SECOND);
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, start_ns + 3 * MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
}

it("waits for the session of a retry no longer than for the one of the checkout") {
  open_pool();
  mp_loan *loan = ask(2 * MP_SECOND);
  dies(session_number(1));
  plan(ON_OPEN, waits);
  plan(ON_QUERY, waits);
  query_for(loan, 60 * MP_SECOND);
  int64_t start_ns = fake.now_ns;
  expect_equal(last.wait.until_ns, start_ns + 2 * MP_SECOND);
  pass(MP_SECOND);
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, start_ns + 60 * MP_SECOND);
}

it("fails a retry that finds no session in time, without having run anything") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  plan(ON_OPEN, waits);
  query_for(loan, MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.fatal && last.err.retryable);
  expect_equal(fake.calls[ON_QUERY], 0);
}

it("does not send a statement whose time was used up by its retry") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  plan(ON_OPEN, waits);
  query_for(loan, MP_SECOND);
  pass(2 * MP_SECOND);
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.retryable && !last.err.fatal);
  expect_equal(fake.calls[ON_QUERY], 0);
  expect_equal(query(loan), MP_DONE);
  release(loan);
  expect_equal(stats().idle, 1);
}

it("gives a ping up at its deadline, and knows that it did nothing") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_PING, waits);
  ping(loan);
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(session_number(1)->aborted);
  expect_equal(session_number(1)->recoveries, 0);
}

it("gives a connect up at the deadline of its checkout") {
  open_pool();
  plan(ON_OPEN, waits);
  mp_loan *loan = ask(MP_SECOND);
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND);
  pass(MP_SECOND - 1);
  expect_equal(step(loan), MP_WAIT);
  pass(1);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(stats().timeouts, 1);
  expect_equal(stats().opening, 1);
}

it("does not mistake a deadline far in the future for one in the past") {
  open_pool();
  mp_loan *loan = ask(MP_NEVER - 1);
  expect_equal(last.status, MP_DONE);
  plan(ON_QUERY, waits);
  query_for(loan, MP_NEVER - 1);
  expect_equal(last.status, MP_WAIT);
  expect_equal(last.wait.until_ns, MP_NEVER);
}

it("sends no reset for a statement that moved to a session to which it was never sent") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  plan(ON_OPEN, waits);
  query_for(loan, MP_SECOND);
  pass(2 * MP_SECOND);
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_FAILED);
  release(loan);
  expect_equal(stats().idle, 1);
  expect_equal(stats().resets_sent, 0);
}
