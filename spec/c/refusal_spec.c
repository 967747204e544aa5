/* Servers and proxies that do not know how to reset a session. */
#include "world.h"

static const fake_answer unknown_command = {.status = MP_FAILED, .code = 1047, .phase = MP_PHASE_RESET};

/* The first reset of the pool is answered so, at the next checkout. */
static void first_reset(fake_answer a) {
  make_one_idle();
  plan(ON_RESET_READ, a);
  release(lend());
}

static void expect_resets(bool wanted) {
  unsigned before = fake.calls[ON_RESET_SEND];
  mp_loan *loan = lend();
  mp_session *s = session_of(loan);
  query(loan);
  release(loan);
  expect_equal(fake.calls[ON_RESET_SEND] - before, wanted);
  expect_equal(s->closed, !wanted);
  expect_equal(mp_pool_take_events(pool), wanted ? 0 : MP_EVENT_RESET_REFUSED);
}

it("closes used sessions instead of resetting them once the server said that it knows no reset") {
  open_pool();
  first_reset(unknown_command);
  expect_resets(false);
  expect_equal(stats().discarded, 1);
}

it("tells of that once") {
  config.retries = 0;
  open_pool();
  expect_equal(mp_pool_take_events(pool), 0);
  make_idle(2, (mp_session *[2]){0});
  plan_times(2, ON_RESET_READ, unknown_command);
  ask(MP_SECOND);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_REFUSED);
  expect_equal(mp_pool_take_events(pool), 0);
  ask(MP_SECOND);
  expect_equal(stats().resets_failed, 2);
  expect_equal(mp_pool_take_events(pool), 0);
}

it("still takes back sessions that were not used, or are to be left as they are") {
  open_pool();
  first_reset(unknown_command);
  fake.unclean_allowed = true;
  mp_loan *loan = lend();
  query(loan);
  release_as_it_is(loan);
  release(lend());
  expect_equal(stats().idle, 1);
  expect_equal(stats().discarded, 0);
}

it("takes silence for a refusal when a checkout waited for the replies in vain") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  mp_loan *loan = ask(60 * MP_SECOND);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_DONE);
  release(loan);
  expect_resets(false);
}

it("takes silence for a refusal when nobody waited for the replies, too") {
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  pass(2 * MP_SECOND);
  release(lend());
  expect_resets(false);
}

it("does not take the hurry of a checkout for silence of the server") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  mp_loan *loan = ask(MP_SECOND);
  pass(MP_SECOND / 2);
  expect_equal(step(loan), MP_DONE);
  expect_equal(stats().resets_failed, 1);
  release(loan);
  expect_resets(true);
}

it("takes no other failure of a reset for a refusal") {
  static const unsigned codes[] = {2013, 2006, 1820, 1231};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    spec_note("errno %u", codes[i]);
    open_pool();
    first_reset(fails(codes[i], MP_PHASE_RESET));
    expect_resets(true);
    drop_pool();
  }
}

it("takes no other failure for one in the middle of a loan, nor one that comes late") {
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend();
  plan(ON_RESET_READ, fails(1820, MP_PHASE_RESET));
  expect_equal(reset(loan), MP_FAILED);
  release(loan);
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  mp_loan *waiter = ask_and_wait();
  pass(3 * MP_SECOND);
  answer(s, fails(1820, MP_PHASE_RESET));
  expect_equal(step(waiter), MP_DONE);
  release(waiter);
  expect_resets(true);
}

it("asks a server again that has answered once, whatever it says later") {
  config.max_size = 1;
  open_pool();
  first_reset(fine);
  first_reset(unknown_command);
  expect_resets(true);
  fake.slow_resets = true;
  make_one_idle();
  pass(2 * MP_SECOND);
  release(lend());
  fake.slow_resets = false;
  expect_resets(true);
}

it("asks again when a reset is answered that was on its way") {
  open_pool();
  make_idle(2, (mp_session *[2]){0});
  plan(ON_RESET_READ, unknown_command);
  release(lend());
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_REFUSED);
  expect_resets(true);
}

it("knows from a reset in the middle of a loan that the server can") {
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend();
  expect_equal(reset(loan), MP_DONE);
  release(loan);
  first_reset(unknown_command);
  expect_resets(true);
}

it("knows from a recovery that the server can") {
  config.max_size = 1;
  open_pool();
  answer(make_one_recovering(), fine);
  release(lend());
  first_reset(unknown_command);
  expect_resets(true);
}

it("does not know that from a recovery that failed") {
  config.max_size = 1;
  open_pool();
  answer(make_one_recovering(), fails(2013, MP_PHASE_RESET));
  release(lend());
  first_reset(unknown_command);
  expect_resets(false);
}

it("takes the refusal of a reset in the middle of a loan for one") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_RESET_READ, unknown_command);
  expect_equal(reset(loan), MP_FAILED);
  release(loan);
  expect_resets(false);
}

it("takes silence after a reset in the middle of a loan for a refusal") {
  open_pool();
  fake.slow_resets = true;
  mp_loan *loan = lend();
  reset(loan);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  release(loan);
  expect_resets(false);
}

it("fails a reset in the middle of a loan at once when the server knows none") {
  open_pool();
  first_reset(unknown_command);
  unsigned before = fake.calls[ON_RESET_SEND];
  mp_loan *loan = lend();
  query(loan);
  expect_equal(reset(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_PROTOCOL);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.fatal && !last.err.retryable);
  expect_equal(fake.calls[ON_RESET_SEND], before);
}
