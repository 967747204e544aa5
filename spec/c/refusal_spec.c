/* Servers and proxies that do not know how to reset a session. */
#include "world.h"

static const fake_answer unknown_command = {
    .status = MP_FAILED, .code = 1047, .phase = MP_PHASE_RESET, .message = "Unknown command"};
static const fake_answer not_ready = {.status = MP_FAILED,
                                      .code = 1047,
                                      .phase = MP_PHASE_RESET,
                                      .message = "WSREP has not yet prepared node for application use"};

/* The next reset, of a session that is used for it, is answered so, which the next checkout finds. */
static void next_reset(fake_answer a) {
  make_one_idle();
  plan(ON_RESET_READ, a);
  release(lend());
}

/* ... `times` times, each time by a session that is new. */
static void resets_are(unsigned times, fake_answer a) {
  while (times-- > 0) {
    evict();
    next_reset(a);
  }
}

static bool is_reset(void) {
  unsigned before = fake.calls[ON_RESET_SEND];
  mp_loan *loan = lend();
  mp_session *s = session_of(loan);
  query(loan);
  release(loan);
  expect_equal(s->closed, fake.calls[ON_RESET_SEND] == before);
  return !s->closed;
}

static void open_refused_pool(void) {
  open_pool();
  resets_are(2, unknown_command);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_REFUSED);
}

/* ---- a server that knows no reset ---- */

it("closes used sessions instead of resetting them once the server said twice that it knows no reset") {
  open_pool();
  resets_are(1, unknown_command);
  expect(is_reset());
  drop_pool();
  open_refused_pool();
  expect(!is_reset());
  expect_equal(stats().discarded, 1);
}

it("tells of that once") {
  open_refused_pool();
  for (int i = 0; i < 5; i++)
    expect(!is_reset());
  expect_equal(mp_pool_take_events(pool), 0);
}

it("still takes back sessions that were not used, or are to be left as they are") {
  open_refused_pool();
  fake.unclean_allowed = true;
  mp_loan *loan = lend();
  query(loan);
  release_as_it_is(loan);
  release(lend());
  expect_equal(stats().idle, 1);
  expect_equal(stats().discarded, 0);
}

it("fails a reset in the middle of a loan at once when the server knows none") {
  open_refused_pool();
  unsigned before = fake.calls[ON_RESET_SEND];
  mp_loan *loan = lend();
  query(loan);
  expect_equal(reset(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_PROTOCOL);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.fatal && !last.err.retryable);
  expect_equal(fake.calls[ON_RESET_SEND], before);
  expect_equal(mp_pool_take_events(pool), 0);
}

it("takes refusals in the middle of loans for refusals") {
  open_pool();
  for (int i = 0; i < 2; i++) {
    mp_loan *loan = lend();
    plan(ON_RESET_READ, unknown_command);
    expect_equal(reset(loan), MP_FAILED);
    release(loan);
  }
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_REFUSED);
  expect(!is_reset());
}

it("takes no other failure of a reset for a refusal, however often it comes") {
  static const unsigned codes[] = {2013, 2006, 1820, 1231, 1047};
  for (size_t i = 0; i <= sizeof codes / sizeof *codes; i++) {
    spec_note("failure %u", (unsigned)i);
    open_pool();
    resets_are(9, i == 0 ? not_ready : fails(codes[i - 1], MP_PHASE_RESET));
    expect(is_reset());
    expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_FAILING);
    drop_pool();
  }
}

it("takes no silence for a refusal: of a checkout, of nobody, or in the middle of a loan") {
  config.max_size = 1;
  for (int way = 0; way < 3; way++) {
    spec_note("way %d", way);
    open_pool();
    fake.slow_resets = true;
    for (int i = 0; i < 9; i++) {
      mp_loan *loan;
      if (way == 2) {
        loan = lend();
        reset(loan);
      } else {
        make_one_idle();
        pass(way == 0 ? 0 : 2 * MP_SECOND);
        loan = ask(60 * MP_SECOND);
      }
      pass(2 * MP_SECOND);
      if (way != 1)
        step(loan);
      release(loan);
    }
    expect_equal(stats().resets_failed, 9);
    fake.slow_resets = false;
    expect(is_reset());
    drop_pool();
  }
}

it("takes what a session says for no refusal that was reset before") {
  open_pool();
  for (int i = 0; i < 9; i++) {
    mp_session *s = make_one_idle();
    mp_loan *loan = lend();
    expect(session_of(loan) == s);
    query(loan);
    release(loan);
    plan(ON_RESET_READ, unknown_command);
    release(lend());
    expect(s->closed);
  }
  expect(is_reset());
}

it("counts refusals since the last reset that was answered") {
  open_pool();
  for (int i = 0; i < 9; i++) {
    resets_are(1, unknown_command);
    resets_are(1, fine);
  }
  expect(is_reset());
  expect_equal(mp_pool_take_events(pool), 0);
}

/* ---- no such verdict lasts ---- */

it("asks again each minute, once") {
  open_refused_pool();
  for (int i = 0; i < 5; i++) {
    pass(60 * MP_SECOND - 1);
    expect(!is_reset());
    pass(1);
    expect(is_reset());
    plan(ON_RESET_READ, unknown_command);
    release(lend());
    expect(!is_reset());
  }
  expect_equal(mp_pool_take_events(pool), 0);
}

it("asks again by a reset in the middle of a loan, too") {
  open_refused_pool();
  pass(60 * MP_SECOND);
  mp_loan *loan = lend();
  query(loan);
  expect_equal(reset(loan), MP_DONE);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_WORKS);
  query(loan);
  release(loan);
  expect(is_reset());
}

it("uses sessions again from the first reset on that works") {
  open_refused_pool();
  pass(60 * MP_SECOND);
  expect(is_reset());
  expect_equal(mp_pool_take_events(pool), 0);
  for (int i = 0; i < 5; i++)
    expect(is_reset());
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_WORKS);
  resets_are(1, unknown_command);
  expect(is_reset());
}

it("lets silence, when it asks again, be none of the caller's trouble, nor a change of mind") {
  config.retries = 0;
  config.max_size = 1;
  open_pool();
  make_one_idle();
  plan_times(2, ON_RESET_READ, unknown_command);
  ask(MP_SECOND);
  expect_equal(last.status, MP_FAILED);
  expect(strstr(last.err.message, "the server does not know how to reset a session"));
  make_one_idle();
  release(ask(MP_SECOND));
  expect_equal(last.status, MP_DONE);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_REFUSED);
  pass(60 * MP_SECOND);
  fake.slow_resets = true;
  make_one_idle();
  mp_loan *loan = ask(10 * MP_SECOND);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_DONE);
  release(loan);
  expect(!is_reset());
  expect_equal(mp_pool_take_events(pool), 0);
}

it("asks again when a reset is answered that was on its way") {
  config.max_size = 3;
  open_pool();
  make_idle(3, (mp_session *[3]){0});
  plan_times(2, ON_RESET_READ, unknown_command);
  release(lend());
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_REFUSED | MP_EVENT_RESET_WORKS);
  expect(is_reset());
}

it("knows from a recovery that the server can") {
  config.max_size = 1;
  open_refused_pool();
  answer(make_one_recovering(), fine);
  release(lend());
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_WORKS);
  expect(is_reset());
}

it("does not know that from a recovery that failed") {
  config.max_size = 1;
  open_refused_pool();
  answer(make_one_recovering(), fails(2013, MP_PHASE_RESET));
  release(lend());
  expect(!is_reset());
  expect_equal(mp_pool_take_events(pool), 0);
}

/* ---- resets that fail for other reasons ---- */

it("tells of resets that fail three times in a row, once until one works, and why") {
  open_pool();
  expect(strcmp(mp_pool_reset_failure(pool), "") == 0);
  resets_are(2, fails(1820, MP_PHASE_RESET));
  expect_equal(mp_pool_take_events(pool), 0);
  resets_are(1, not_ready);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_FAILING);
  expect(strcmp(mp_pool_reset_failure(pool), not_ready.message) == 0);
  resets_are(20, fails(1820, MP_PHASE_RESET));
  expect_equal(mp_pool_take_events(pool), 0);
  resets_are(1, fine);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_WORKS);
  resets_are(9, fine);
  expect_equal(mp_pool_take_events(pool), 0);
  resets_are(3, fails(1820, MP_PHASE_RESET));
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_FAILING);
}

it("tells nothing of fewer in a row") {
  open_pool();
  for (int i = 0; i < 9; i++) {
    resets_are(2, fails(1820, MP_PHASE_RESET));
    resets_are(1, fine);
  }
  expect_equal(mp_pool_take_events(pool), 0);
}

it("tells also of resets that cannot be sent, or are silent") {
  config.max_size = 1;
  open_pool();
  plan(ON_RESET_SEND, fails(2006, MP_PHASE_RESET));
  make_one_idle();
  fake.slow_resets = true;
  make_one_idle();
  pass(2 * MP_SECOND);
  mp_loan *loan = lend();
  expect_equal(mp_pool_take_events(pool), 0);
  reset(loan);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_FAILING);
}

it("never tells that resets work behind a failure that came later") {
  open_pool();
  resets_are(3, fails(1820, MP_PHASE_RESET));
  resets_are(1, fine);
  resets_are(3, fails(1820, MP_PHASE_RESET));
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_FAILING);
  resets_are(1, fine);
  resets_are(2, unknown_command);
  expect_equal(mp_pool_take_events(pool), MP_EVENT_RESET_REFUSED);
  resets_are(1, fine);
}
