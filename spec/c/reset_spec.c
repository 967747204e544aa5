/* The hidden reset: sent at release, read at the next checkout. */
#include "world.h"

it("sends no reset for a loan that ran nothing") {
  open_pool();
  release(lend());
  expect_equal(fake.calls[ON_RESET_SEND], 0);
  release(lend());
  expect_equal(fake.calls[ON_RESET_READ], 0);
}

it("sends no reset for a loan that only pinged") {
  open_pool();
  mp_loan *loan = lend();
  ping(loan);
  release(loan);
  expect_equal(stats().resets_sent, 0);
  expect_equal(stats().idle, 1);
}

it("sends the reset at release and reads its replies at the next checkout, not before") {
  open_pool();
  mp_session *s = make_one_idle();
  expect_equal(s->resets, 1);
  expect_equal(fake.calls[ON_RESET_READ], 0);
  expect_equal(stats().resets_sent, 1);
  lend();
  expect_equal(fake.calls[ON_RESET_READ], 1);
  expect(!s->replies_pending);
}

it("resets a session once for each loan that used it") {
  open_pool();
  for (int i = 0; i < 3; i++)
    make_one_idle();
  expect_equal(fake.opened, 1);
  expect_equal(session_number(1)->resets, 3);
}

it("resets after a statement that failed, and after one whose retry moved it") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  plan(ON_QUERY, fails(1064, MP_PHASE_REPLY));
  expect_equal(query(loan), MP_FAILED);
  release(loan);
  expect_equal(session_number(2)->resets, 1);
}

it("counts replies that were there as hidden") {
  open_pool();
  make_one_idle();
  lend();
  expect_equal(stats().resets_hidden, 1);
  expect_equal(stats().resets_waited, 0);
  expect_equal(stats().reset_wait_ns, 0);
}

it("counts replies that were not, and how long they were waited for") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  mp_loan *loan = ask_and_wait();
  pass(3 * MP_MILLISECOND);
  reply(s);
  expect_equal(step(loan), MP_DONE);
  expect_equal(stats().resets_hidden, 0);
  expect_equal(stats().resets_waited, 1);
  expect_equal(stats().reset_wait_ns, 3 * MP_MILLISECOND);
}

it("closes the session at release when the reset cannot be sent") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_RESET_SEND, fails(2006, MP_PHASE_SEND));
  release(loan);
  expect(session_number(1)->closed);
  expect_equal(stats().resets_failed, 1);
  expect_equal(stats().resets_sent, 0);
  expect_equal(stats().discarded, 1);
}

it("replaces a session whose reset failed, unseen") {
  open_pool();
  mp_session *s = make_one_idle();
  plan(ON_RESET_READ, fails(1820, MP_PHASE_RESET));
  mp_loan *loan = lend();
  expect(s->closed);
  expect(session_of(loan) == session_number(2));
  expect_equal(stats().resets_failed, 1);
}

it("replaces a session that died behind the replies to its reset") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  mp_loan *loan = ask_and_wait();
  reply(s);
  s->dead = true;
  expect_equal(step(loan), MP_DONE);
  expect(s->closed);
  expect_equal(stats().stale, 1);
}

it("closes a session that does not answer its reset in time, and opens another") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  mp_loan *loan = ask(60 * MP_SECOND);
  expect_equal(last.wait.until_ns, fake.now_ns + 2 * MP_SECOND);
  pass(2 * MP_SECOND - 1);
  expect_equal(step(loan), MP_WAIT);
  pass(1);
  expect_equal(step(loan), MP_DONE);
  expect(s->closed);
  expect_equal(fake.opened, 2);
  expect_equal(stats().resets_failed, 1);
  expect_equal(stats().reset_wait_ns, 2 * MP_SECOND);
}

it("opens another session rather than wait on for a slow reset, which serves somebody else") {
  config.max_size = 2;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  mp_loan *loan = ask(60 * MP_SECOND);
  expect_equal(last.wait.until_ns, fake.now_ns + 100 * MP_MILLISECOND);
  pass(100 * MP_MILLISECOND);
  expect_equal(step(loan), MP_DONE);
  expect(session_of(loan) != s);
  expect(!s->closed);
  expect_equal(stats().reset_wait_ns, 100 * MP_MILLISECOND);
  reply(s);
  expect(session_of(lend()) == s);
  expect_equal(fake.opened, 2);
}

it("waits on for a slow reset whose replies have begun to arrive") {
  config.max_size = 2;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  pass(100 * MP_MILLISECOND);
  reply(s);
  plan(ON_RESET_READ, waits);
  mp_loan *loan = ask_and_wait();
  answer(s, fine);
  expect_equal(step(loan), MP_DONE);
  expect(session_of(loan) == s);
}

it("leaves half of a checkout's time to try another session") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  mp_loan *loan = ask(2 * MP_SECOND);
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("counts the time of a reset from its sending") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  pass(MP_SECOND);
  ask(MP_NEVER);
  expect_equal(last.wait.until_ns, fake.now_ns + MP_SECOND);
}

/* The replies to the part of a reset that was sent at its release have arrived since. */
static mp_session *make_one_half_sent(void) {
  open_pool();
  plan(ON_RESET_SEND, waits);
  mp_session *s = make_one_idle();
  expect_equal(stats().resets_sent, 1);
  pass(100 * MP_SECOND);
  plan(ON_RESET_READ, waits);
  return s;
}

it("counts the time of a reset of which a part was sent from when somebody sends the rest") {
  config.max_size = 1;
  mp_session *s = make_one_half_sent();
  mp_loan *loan = ask(60 * MP_SECOND);
  expect_equal(last.wait.until_ns, fake.now_ns + 2 * MP_SECOND);
  pass(2 * MP_SECOND - 1);
  expect_equal(step(loan), MP_WAIT);
  answer(s, fine);
  expect_equal(step(loan), MP_DONE);
  expect(session_of(loan) == s);
  release(loan);
  expect_equal(stats().resets_failed, 0);
}

it("waits for the rest of a reset as long, too, before another session is opened") {
  config.max_size = 2;
  mp_session *s = make_one_half_sent();
  mp_loan *loan = ask(60 * MP_SECOND);
  pass(99 * MP_MILLISECOND);
  expect_equal(step(loan), MP_WAIT);
  expect(session_of(loan) == s);
  answer(s, fine);
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.opened, 1);
}

it("closes a session that does not answer the rest of a reset in time") {
  config.max_size = 1;
  mp_session *s = make_one_half_sent();
  mp_loan *loan = ask(60 * MP_SECOND);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_DONE);
  expect(s->closed);
  expect_equal(stats().resets_failed, 1);
}

it("resets in the middle of a loan in parts, too") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_RESET_SEND, waits);
  expect_equal(reset(loan), MP_DONE);
  expect_equal(fake.calls[ON_RESET_READ], 1);
}

it("does not wait at all for a reset that is overdue") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  pass(2 * MP_SECOND);
  lend();
  expect(s->closed);
  expect_equal(fake.opened, 2);
  expect_equal(stats().resets_failed, 1);
}

it("keeps a session whose reset a loan had no time to wait for") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  mp_loan *hasty = ask(0);
  expect_equal(step(hasty), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect(!s->closed);
  expect_equal(stats().idle, 1);
  mp_loan *loan = ask_and_wait();
  expect_equal(s->number, session_of(loan)->number);
  reply(s);
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.calls[ON_RESET_READ], 1);
  expect_equal(query(loan), MP_DONE);
}

it("goes on with a reset whose reader was freed, once its replies are there") {
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  free_loan(ask_and_wait());
  expect_equal(stats().idle, 1);
  reply(s);
  expect(session_of(lend()) == s);
  expect_equal(stats().resets_hidden, 1);
}

it("gives a session whose reset is being read to the next waiter when its loan is freed") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  mp_loan *reader = ask_and_wait(), *waiter = ask_and_wait();
  free_loan(reader);
  expect(readable(wait_of(waiter).fd));
  expect_equal(step(waiter), MP_WAIT);
  reply(s);
  expect_equal(step(waiter), MP_DONE);
}

it("reads the reset again when a session is reset again") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  free_loan(ask_and_wait());
  reply(s);
  make_one_idle();
  expect_equal(s->resets, 2);
  mp_loan *loan = ask_and_wait();
  reply(s);
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.calls[ON_RESET_READ], 2);
}

it("hands a session to a waiter with its reset on the way") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  query(holder);
  release(holder);
  expect_equal(step(waiter), MP_WAIT);
  expect_equal(stats().resets_waited, 1);
  reply(session_number(1));
  expect_equal(step(waiter), MP_DONE);
}

it("releases a session as it is when the caller says so") {
  open_pool();
  fake.unclean_allowed = true;
  mp_loan *loan = lend();
  query(loan);
  release_as_it_is(loan);
  expect_equal(stats().resets_sent, 0);
  expect(session_of(lend()) == session_number(1));
}

it("sends no resets when they are turned off") {
  config.reset = false;
  open_pool();
  fake.unclean_allowed = true;
  make_one_idle();
  lend();
  expect_equal(fake.calls[ON_RESET_SEND], 0);
  expect_equal(fake.opened, 1);
}

it("sends no reset to a session that it closes") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  discard(loan);
  expect_equal(fake.calls[ON_RESET_SEND], 0);
  mp_loan *other = lend();
  query(other);
  evict();
  release(other);
  expect_equal(fake.calls[ON_RESET_SEND], 0);
}

/* ---- in the middle of a loan ---- */

it("resets in the middle of a loan, and then not at its release") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  expect_equal(reset(loan), MP_DONE);
  expect_equal(session_number(1)->resets, 1);
  expect_equal(session_number(1)->used_by, 0);
  release(loan);
  expect_equal(stats().resets_sent, 1);
  expect_equal(stats().idle, 1);
}

it("resets again at the release what was used after a reset") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  reset(loan);
  query(loan);
  release(loan);
  expect_equal(session_number(1)->resets, 2);
}

it("waits for the replies to such a reset") {
  open_pool();
  fake.slow_resets = true;
  mp_loan *loan = lend();
  query(loan);
  expect_equal(reset(loan), MP_WAIT);
  expect_equal(last.wait.until_ns, fake.now_ns + 2 * MP_SECOND);
  reply(session_number(1));
  expect(readable(last.wait.fd));
  expect_equal(step(loan), MP_DONE);
  expect_equal(query(loan), MP_DONE);
}

it("retries the first statement after a reset like the first of a loan") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  reset(loan);
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("gives the session up whose reset failed in the middle of a loan") {
  static const unsigned codes[] = {2013, 2006, 1820, 1213};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    spec_note("errno %u", codes[i]);
    open_pool();
    mp_loan *loan = lend();
    query(loan);
    plan(ON_RESET_READ, fails(codes[i], MP_PHASE_RESET));
    expect_equal(reset(loan), MP_FAILED);
    expect_equal(last.err.executed, MP_EXECUTED_NO);
    expect(last.err.fatal);
    expect_equal(mp_loan_id(loan), 0);
    expect_equal(stats().resets_failed, 1);
    expect_equal(stats().retries, 0);
    release(loan);
    expect_equal(stats().discarded, 1);
    free_loan(loan);
    drop_pool();
  }
}

it("gives the session up that does not answer a reset in time, without an attempt to recover it") {
  open_pool();
  fake.slow_resets = true;
  mp_loan *loan = lend();
  query(loan);
  reset(loan);
  pass(2 * MP_SECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.fatal && session_number(1)->aborted);
  expect_equal(fake.calls[ON_RECOVER], 0);
  expect_equal(stats().resets_failed, 1);
}

it("gives the session up to which a reset cannot be sent, and calls it lost") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_RESET_SEND, (fake_answer){.status = MP_FAILED, .code = 2006, .phase = MP_PHASE_RESET});
  expect_equal(reset(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect(last.err.fatal);
  expect_equal(stats().resets_sent, 0);
  expect_equal(stats().resets_failed, 1);
}

it("does not reset a session that is dead already") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  dies(session_number(1));
  expect_equal(reset(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(fake.calls[ON_RESET_SEND], 0);
}

/* ---- what comes in the middle of a result ---- */

it("refuses what comes in the middle of a result, and leaves the result as it was") {
  mp_status (*const all[])(mp_loan *) = {query, query_idempotent, ping, reset};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    spec_note("operation %u", (unsigned)i);
    open_pool();
    fake.rows = 2;
    mp_loan *loan = lend();
    int64_t start_ns = fake.now_ns;
    query_for(loan, 7 * MP_SECOND);
    fetch(loan);
    expect_equal(all[i](loan), MP_FAILED);
    expect_equal(all[i](loan), MP_FAILED);
    expect_equal(last.err.kind, MP_ERR_PROTOCOL);
    expect_equal(last.err.code, 2014);
    expect_equal(last.err.executed, MP_EXECUTED_NO);
    expect(!last.err.fatal && !last.err.retryable);
    plan(ON_FETCH, waits);
    expect_equal(fetch(loan), MP_WAIT);
    expect_equal(last.wait.until_ns, start_ns + 7 * MP_SECOND);
    answer(session_of(loan), fine);
    expect_equal(step(loan), MP_DONE);
    expect_equal(query(loan), MP_DONE);
    while (fetch(loan) == MP_DONE && last.row.cells)
      continue;
    release(loan);
    expect_equal(stats().resets_sent, 1);
    expect_equal(stats().resets_failed, 0);
    expect_equal(stats().idle, 1);
    free_loan(loan);
    drop_pool();
  }
}
