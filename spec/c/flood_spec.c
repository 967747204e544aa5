/* While rows keep coming nothing waits: the clock is looked at from time to time all the same. */
#include "world.h"

/* A loan in the middle of a result of many rows, with a second for all of it. */
static mp_loan *in_a_result(void) {
  fake.rows = 100000;
  open_pool();
  mp_loan *loan = lend();
  query_for(loan, MP_SECOND);
  return loan;
}

/* How many times fetch is called until it says something other than a row. */
static unsigned rows_until_stopped(mp_loan *loan) {
  unsigned rows = 0;
  while (rows < 1000 && fetch(loan) == MP_DONE)
    rows++;
  return rows;
}

it("ends a result at its deadline, within 200 rows that were all there") {
  config.may_queue = false;
  mp_loan *loan = in_a_result();
  fetch(loan);
  pass(MP_SECOND);
  expect(rows_until_stopped(loan) <= 200);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(stats().recovering, 1);
}

it("ends it behind a row that came from the network, and behind one with which the caller took his time") {
  config.may_queue = false;
  mp_loan *loan = in_a_result();
  fetch(loan);
  pass(MP_SECOND);
  expect_equal(fetch(loan), MP_DONE);
  mp_loan_took_time(loan);
  expect(!mp_loan_has_row(loan));
  expect_equal(fetch(loan), MP_FAILED);
  release(loan);
  loan = lend();
  fake.arrive = true;
  query_for(loan, MP_SECOND);
  pass(MP_SECOND);
  expect_equal(fetch(loan), MP_DONE);
  expect_equal(fetch(loan), MP_FAILED);
}

it("ends results that follow each other without end") {
  config.may_queue = false;
  mp_loan *loan = in_a_result();
  pass(MP_SECOND);
  unsigned results = 0;
  while (results < 1000 && next_result(loan) == MP_DONE)
    results++;
  expect(results <= 200);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
}

it("lets others run after some milliseconds, and goes on at once with the next row") {
  mp_loan *loan = in_a_result();
  mp_loan_took_time(loan);
  expect_equal(fetch(loan), MP_DONE);
  pass(10 * MP_MILLISECOND);
  mp_loan_took_time(loan);
  expect_equal(fetch(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, fake.now_ns);
  expect_equal(step(loan), MP_DONE);
  expect(last.row.cells != NULL);
  mp_loan_took_time(loan);
  expect_equal(fetch(loan), MP_DONE);
}

it("never pauses in a plain program") {
  config.may_queue = false;
  mp_loan *loan = in_a_result();
  for (int i = 0; i < 10; i++) {
    pass(10 * MP_MILLISECOND);
    mp_loan_took_time(loan);
    expect_equal(fetch(loan), MP_DONE);
  }
}
