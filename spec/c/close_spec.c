/* Evicting, closing, aborting, and loans that outlive the pool. */
#include "world.h"

it("retires idle sessions at once when evicted, and lent ones at their release") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  mp_loan *loan = lend();
  evict();
  expect(s[0]->closed && !s[1]->closed);
  expect_equal(query(loan), MP_DONE);
  release(loan);
  expect(s[1]->closed);
  expect_equal(stats().retired, 2);
}

it("keeps sessions that were opened after an eviction") {
  open_pool();
  evict();
  mp_session *s = make_one_idle();
  expect(session_of(lend()) == s);
}

it("retires a session whose connect began before an eviction") {
  open_pool();
  plan(ON_OPEN, waits);
  mp_loan *loan = ask_and_wait();
  evict();
  answer(session_number(1), fine);
  expect_equal(step(loan), MP_DONE);
  release(loan);
  expect(session_number(1)->closed);
  expect_equal(stats().retired, 1);
}

it("retires a connect that nobody waits for with an eviction as well") {
  open_pool();
  plan(ON_OPEN, waits);
  free_loan(ask_and_wait());
  evict();
  answer(session_number(1), fine);
  expect(session_of(lend()) == session_number(2));
  expect(session_number(1)->closed);
}

it("closes idle sessions at once when closed, and lent ones when they come back") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  mp_loan *loan = lend();
  close_pool();
  expect(mp_pool_is_closed(pool));
  expect(s[0]->closed && !s[1]->closed);
  expect_equal(query(loan), MP_DONE);
  release(loan);
  expect(s[1]->closed);
  expect_equal(stats().size, 0);
  expect_equal(fake.calls[ON_RESET_SEND], 2);
}

it("is quiet about being closed twice") {
  open_pool();
  expect(!mp_pool_is_closed(pool));
  close_pool();
  close_pool();
  expect(mp_pool_is_closed(pool));
}

it("refuses checkouts after it was closed") {
  open_pool();
  close_pool();
  mp_loan *loan = ask(5 * MP_SECOND);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect(!mp_loan_is_held(loan));
  expect_equal(fake.opened, 0);
}

it("wakes every waiter when it is closed, and tells it") {
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend(), *a = ask_and_wait(), *b = ask_and_wait();
  close_pool();
  expect(readable(wait_of(a).fd) && readable(wait_of(b).fd));
  release(holder);
  expect_equal(stats().size, 0);
  expect_equal(step(b), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect_equal(step(a), MP_FAILED);
  expect_equal(stats().waiting, 0);
}

it("closes connects that nobody waits for") {
  open_pool();
  plan(ON_OPEN, waits);
  free_loan(ask_and_wait());
  close_pool();
  expect(session_number(1)->closed);
  expect_equal(stats().opening, 0);
}

it("ends a checkout that was connecting, or reading a reset, when the pool was closed") {
  config.max_size = 2;
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  mp_loan *resetting = ask_and_wait();
  plan(ON_OPEN, waits);
  mp_loan *connecting = ask_and_wait();
  close_pool();
  expect_equal(step(resetting), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect_equal(step(connecting), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect_equal(stats().size, 0);
}

it("closes what was handed to a waiter that had not looked when the pool was closed") {
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  release(holder);
  close_pool();
  expect_equal(step(waiter), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect(session_number(1)->closed);
  expect_equal(stats().discarded, 1);
}

it("does not retry a first statement after it was closed") {
  open_pool();
  mp_loan *loan = lend();
  close_pool();
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(fake.opened, 1);
}

it("ends a retry that was under way when the pool was closed") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  plan(ON_OPEN, waits);
  query(loan);
  close_pool();
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect(last.err.fatal);
  expect(mp_loan_is_held(loan));
  release(loan);
}

it("lets a statement finish that runs when the pool is closed") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query(loan);
  close_pool();
  answer(session_number(1), fine);
  expect_equal(step(loan), MP_DONE);
}

it("cuts the connections of what is still lent when aborted") {
  open_pool();
  mp_loan *running = lend(), *resting = lend();
  plan(ON_QUERY, waits);
  query(running);
  close_pool();
  mp_pool_abort(pool);
  expect(readable(wait_of(running).fd));
  expect_equal(step(running), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect(last.err.fatal);
  expect_equal(query(resting), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect(last.err.fatal);
  expect_equal(fake.calls[ON_QUERY], 1);
  expect_equal(fetch(resting), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
}

it("tells through an fd that a loan ended after the close") {
  open_pool();
  mp_loan *a = lend(), *b = lend();
  close_pool();
  int fd = mp_pool_ended_fd(pool);
  expect(fd >= 0 && !readable(fd));
  release(a);
  expect(readable(fd));
  expect_equal(mp_pool_ended_fd(pool), fd);
  expect(!readable(fd));
  discard(b);
  expect(readable(fd));
  expect_equal(mp_pool_ended_fd(pool), fd);
  expect(readable(fd));
}

it("tells so too when what ended was a checkout or a retry") {
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  release(holder);
  close_pool();
  int fd = mp_pool_ended_fd(pool);
  expect_equal(stats().lent, 1);
  expect_equal(step(waiter), MP_FAILED);
  expect_equal(stats().lent, 0);
  expect(readable(fd));
}

it("can do without that fd") {
  open_pool();
  fake.no_wakeups = true;
  mp_loan *loan = lend();
  close_pool();
  expect_equal(mp_pool_ended_fd(pool), -1);
  release(loan);
}

it("lives as long as its last loan") {
  open_pool();
  mp_loan *a = lend(), *b = new_loan();
  drop_pool();
  expect_equal(fake.freed, 0);
  expect_equal(query(a), MP_DONE);
  free_loan(a);
  expect_equal(fake.freed, 0);
  free_loan(b);
  expect_equal(fake.freed, 1);
  expect_equal(fake.closed, 1);
}

it("closes what the driver keeps once it is closed, also while loans are out, and again when one has ended") {
  open_pool();
  mp_loan *a = lend(), *b = lend();
  free_loan(a);
  expect_equal(fake.spare_closed, 0);
  close_pool();
  expect_equal(fake.spare_closed, 1);
  free_loan(b);
  expect_equal(fake.spare_closed, 2);
}

it("bears being given up while the driver closes what it kept") {
  open_pool();
  mp_loan *loan = lend();
  close_pool();
  fake.closing_spare = drop_pool;
  free_loan(loan);
  expect_equal(fake.freed, 1);
}

it("frees a pool that never lent anything") {
  open_pool();
  drop_pool();
  expect_equal(fake.freed, 1);
}

it("lives as long as a waiter that nobody steps any more") {
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  drop_pool();
  free_loan(holder);
  free_loan(waiter);
  expect_equal(fake.freed, 1);
}

it("tells the time of the driver's clock") {
  open_pool();
  pass(MP_SECOND);
  expect_equal(mp_pool_now(pool), fake.now_ns);
}

it("frees no loan without complaint") {
  mp_loan_free(NULL);
  expect_equal(fake.closed, 0);
}
