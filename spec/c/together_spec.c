/* The reset that is sent together with the last statement of a loan. */
#include "world.h"

it("sends the reset with the last statement, and none at the release") {
  open_pool();
  mp_loan *loan = lend();
  expect_equal(query_last(loan), MP_DONE);
  expect_equal(session_number(1)->resets_along, 1);
  release(loan);
  expect_equal(session_number(1)->resets, 0);
  expect_equal(stats().resets_sent, 1);
  expect_equal(stats().resets_together, 1);
  expect_equal(stats().idle, 1);
}

it("reads its replies at the next checkout, not before") {
  open_pool();
  fake.slow_resets = true;
  mp_loan *loan = lend();
  query_last(loan);
  release(loan);
  expect_equal(fake.calls[ON_RESET_READ], 0);
  config.max_size = 2;
  loan = ask_and_wait();
  reply(session_number(1));
  expect_equal(step(loan), MP_DONE);
  expect(session_of(loan) == session_number(1));
  expect_equal(query(loan), MP_DONE);
}

static void use_and_release(void) {
  mp_loan *loan = lend();
  query_last(loan);
  release(loan);
}

it("sends it at the release where it is told to, and not at all without resets") {
  config.reset_together = false;
  open_pool();
  use_and_release();
  expect_equal(session_number(1)->resets_along, 0);
  expect_equal(session_number(1)->resets, 1);
  drop_pool();
  fake.unclean_allowed = config.reset_together = true;
  config.reset = false;
  open_pool();
  use_and_release();
  expect_equal(session_number(2)->resets_along + session_number(2)->resets, 0);
}

it("sends none with a statement of on_connect, which its baseline repeats") {
  config.hooked = true;
  open_pool();
  mp_loan *loan = lend();
  record(loan, true);
  expect_equal(query_last(loan), MP_DONE);
  record(loan, false);
  expect_equal(session_number(1)->resets_along, 0);
}

it("sends none to a server that knows no reset") {
  open_pool();
  for (int i = 0; i < 2; i++) {
    use_and_release();
    plan(ON_RESET_READ,
         (fake_answer){
             .status = MP_FAILED, .code = 1047, .phase = MP_PHASE_RESET, .message = "Unknown command"});
    release(lend());
    evict();
  }
  use_and_release();
  expect_equal(session_number(fake.opened)->resets_along, 0);
  expect(session_number(fake.opened)->closed);
}

it("sends nothing more: a second statement, a ping and a reset are refused, and the session is lent again") {
  open_pool();
  mp_loan *loan = lend();
  query_last(loan);
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.code, 2014);
  expect(!last.err.fatal);
  expect_equal(ping(loan), MP_FAILED);
  expect_equal(last.err.code, 2014);
  expect_equal(reset(loan), MP_FAILED);
  expect_equal(last.err.code, 2014);
  release(loan);
  expect_equal(session_number(1)->queries, 1);
  expect_equal(stats().idle, 1);
}

it("is given back with it even where the caller would rather have the session as it is") {
  open_pool();
  mp_loan *loan = lend();
  query_last(loan);
  release_as_it_is(loan);
  expect_equal(stats().idle, 1);
  lend();
  expect(!session_number(1)->replies_pending);
}

it("lends a session again whose statement failed") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(1213, MP_PHASE_REPLY));
  expect_equal(query_last(loan), MP_FAILED);
  expect(!last.err.fatal);
  release(loan);
  expect_equal(stats().idle, 1);
  expect_equal(session_number(1)->resets, 0);
}

it("closes a session that is in a transaction behind it, whether the statement failed or not") {
  open_pool();
  mp_loan *loan = lend();
  session_of(loan)->in_transaction = true;
  plan(ON_QUERY, fails(1213, MP_PHASE_REPLY));
  expect_equal(query_last(loan), MP_FAILED);
  expect(last.err.fatal);
  expect_equal(query(loan), MP_FAILED);
  expect_equal(session_number(1)->queries, 1);
  release(loan);
  expect(session_number(1)->closed);
  loan = lend();
  session_of(loan)->in_transaction = true;
  expect_equal(query_last(loan), MP_DONE);
  release(loan);
  expect(session_number(2)->closed);
  expect_equal(stats().resets_sent, 0);
  expect_equal(stats().resets_failed, 0);
}

it("closes a session that is given back in the middle of the result") {
  open_pool();
  fake.rows = 2;
  mp_loan *loan = lend();
  query_last(loan);
  fetch(loan);
  release(loan);
  expect(session_number(1)->closed);
}

it("sends it anew with the statement that moves to another session") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query_last(loan), MP_DONE);
  expect_equal(session_number(2)->resets_along, 1);
  release(loan);
  expect_equal(stats().resets_together, 1);
}

it("has a statement stopped whose time is over, and lends its session when that has been reset") {
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  expect_equal(query_last(loan), MP_WAIT);
  loan->deadline_ns = fake.now_ns;
  expect_equal(step(loan), MP_FAILED);
  free_loan(loan);
  expect_equal(stats().recovering, 1);
  loan = ask_and_wait();
  answer(session_number(1), fine);
  expect_equal(step(loan), MP_DONE);
  expect_equal(query(loan), MP_DONE);
  expect_equal(fake.opened, 1);
}

it("closes a session that comes back to a closed pool") {
  open_pool();
  mp_loan *loan = lend();
  query_last(loan);
  close_pool();
  release(loan);
  expect(session_number(1)->closed);
}
