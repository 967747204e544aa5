/* Which idle session is lent, and how long sessions stay. */
#include "world.h"

it("lends the most recently released session first") {
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  make_idle(3, s);
  expect(session_of(lend()) == s[2]);
  expect(session_of(lend()) == s[1]);
  expect(session_of(lend()) == s[0]);
}

it("prefers a session whose replies have arrived to a newer one whose have not") {
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  fake.slow_resets = true;
  make_idle(3, s);
  reply(s[1]);
  expect(session_of(lend()) == s[1]);
}

it("lends the newest of those whose replies have arrived") {
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  fake.slow_resets = true;
  make_idle(3, s);
  reply(s[0]);
  reply(s[1]);
  expect(session_of(lend()) == s[1]);
}

it("waits for the reset that was sent first when no replies have arrived") {
  mp_session *s[2];
  open_pool();
  fake.slow_resets = true;
  make_idle(2, s);
  mp_loan *loan = ask_and_wait();
  expect(session_of(loan) == s[0]);
  reply(s[0]);
  expect(readable(last.wait.fd));
  expect_equal(step(loan), MP_DONE);
}

it("rather waits for a fresh reset than opens another session") {
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  pass(50 * MP_MILLISECOND);
  ask_and_wait();
  expect_equal(fake.opened, 1);
}

it("rather opens a session than waits for a reset that takes its time") {
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  pass(100 * MP_MILLISECOND);
  lend();
  expect_equal(fake.opened, 2);
  expect_equal(stats().idle, 1);
}

it("waits for a slow reset when no session may be opened") {
  config.max_size = 1;
  open_pool();
  fake.slow_resets = true;
  mp_session *s = make_one_idle();
  pass(MP_SECOND);
  mp_loan *loan = ask_and_wait();
  expect(session_of(loan) == s);
}

it("waits for the reset that was sent first while the server refuses new sessions") {
  mp_session *s[3];
  config.max_size = 4;
  open_pool();
  fake.slow_resets = true;
  make_idle(3, s);
  pass(100 * MP_MILLISECOND);
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  mp_loan *refused = ask_and_wait();
  expect(session_of(refused) == s[2]);
  mp_loan *loan = ask_and_wait();
  expect(session_of(loan) == s[0]);
  expect_equal(fake.opened, 4);
}

it("replaces a session that died while idle, unseen") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  dies(s[1]);
  expect(session_of(lend()) == s[0]);
  expect(s[1]->closed);
  expect_equal(stats().stale, 1);
}

it("opens a new session when all idle ones have died") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  dies(s[0]);
  dies(s[1]);
  mp_loan *loan = lend();
  expect_equal(fake.opened, 3);
  expect_equal(mp_loan_id(loan), 1003);
}

it("closes every dead session as soon as it finds one") {
  mp_session *s[4];
  config.max_size = 4;
  open_pool();
  make_idle(4, s);
  dies(s[0]);
  dies(s[1]);
  dies(s[3]);
  expect(session_of(lend()) == s[2]);
  expect(s[0]->closed && s[1]->closed && s[3]->closed);
  expect_equal(stats().stale, 3);
  expect_equal(stats().size, 1);
}

it("leaves the idle sessions in peace while the newest lives") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  dies(s[0]);
  expect(session_of(lend()) == s[1]);
  expect_equal(stats().stale, 0);
}

it("finds death behind replies that have not been read") {
  open_pool();
  mp_session *s = make_one_idle();
  dies(s);
  lend();
  expect_equal(fake.opened, 2);
  expect_equal(s->resets, 1);
}

it("closes sessions that were idle for idle_timeout") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  pass(599 * MP_SECOND);
  release(lend());
  expect_equal(stats().idle, 2);
  pass(MP_SECOND);
  expect(session_of(lend()) == s[1]);
  expect(s[0]->closed);
  expect_equal(stats().expired, 1);
}

it("closes what idle_timeout has overtaken also when something is released") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  mp_loan *loan = lend();
  pass(600 * MP_SECOND);
  release(loan);
  expect(s[0]->closed && !s[1]->closed);
}

it("spares min_idle sessions from idle_timeout") {
  mp_session *s[4];
  config.max_size = 4;
  config.min_idle = 2;
  open_pool();
  make_idle(4, s);
  pass(1000 * MP_SECOND);
  release(lend());
  expect_equal(stats().idle, 2);
  expect(s[0]->closed && s[1]->closed && !s[2]->closed && !s[3]->closed);
}

it("hands a session to a waiter even when idle_timeout is 0") {
  config.max_size = 1;
  config.idle_timeout_ns = 0;
  open_pool();
  mp_loan *holder = lend(), *waiter = ask_and_wait();
  release(holder);
  expect_equal(step(waiter), MP_DONE);
  expect_equal(fake.opened, 1);
  release(waiter);
  expect_equal(stats().idle, 0);
}

it("closes a session before the server does for being idle") {
  fake.idle_limit_ns = 9 * MP_SECOND;
  open_pool();
  mp_session *s = make_one_idle();
  pass(9 * MP_SECOND);
  lend();
  expect(s->closed);
  expect_equal(stats().expired, 1);
}

it("does not keep min_idle sessions beyond the server's own limit") {
  mp_session *s[2];
  fake.idle_limit_ns = 9 * MP_SECOND;
  config.min_idle = 2;
  open_pool();
  make_idle(2, s);
  pass(10 * MP_SECOND);
  mp_loan *loan = lend();
  expect(s[0]->closed && s[1]->closed);
  expect(session_of(loan) == session_number(3));
}

it("does not lend a session beyond the server's limit though older ones may stay") {
  mp_session *s[2];
  open_pool();
  mp_loan *a = lend();
  fake.idle_limit_ns = 9 * MP_SECOND;
  mp_loan *b = lend();
  s[0] = session_of(a);
  s[1] = session_of(b);
  release(a);
  release(b);
  pass(10 * MP_SECOND);
  expect(session_of(lend()) == s[0]);
  expect(s[1]->closed);
}

it("counts a session that it finds dead by its age as stale") {
  open_pool();
  mp_session *s = make_one_idle();
  dies(s);
  pass(700 * MP_SECOND);
  lend();
  expect_equal(stats().stale, 1);
  expect_equal(stats().expired, 0);
}

it("ends sessions after max_lifetime, at most a tenth earlier") {
  config.max_size = 60;
  config.idle_timeout_ns = MP_NEVER;
  open_pool();
  mp_session *s[60];
  make_idle(60, s);
  pass(1620 * MP_SECOND - 1);
  release(lend());
  expect_equal(stats().retired, 0);
  for (int i = 0; i < 60; i++) {
    expect(pool->slots[i].expires_ns <= fake.now_ns + 1 + 180 * MP_SECOND);
    expect(pool->slots[i].expires_ns > fake.now_ns);
  }
  pass(180 * MP_SECOND + 1);
  release(lend());
  expect_equal(stats().retired, 60);
  expect_equal(stats().idle, 1);
}

it("ends each idle session at the end of its own lifetime, whatever stands before it") {
  mp_loan *borrowed[20];
  config.max_size = 20;
  config.idle_timeout_ns = MP_NEVER;
  open_pool();
  for (int i = 0; i < 20; i++)
    borrowed[i] = lend();
  for (int i = 0; i < 20; i++) { /* the oldest and the newest live longest, which covers the others */
    bool long_lived = i == 0 || i == 19;
    borrowed[i]->slot->expires_ns = fake.now_ns + (long_lived ? 100 : 19 - i) * MP_SECOND;
    release(borrowed[i]);
  }
  for (unsigned second = 1; second <= 18; second++) {
    pass(MP_SECOND);
    release(lend());
    expect_equal(stats().retired, second);
    expect_equal(stats().idle, 20 - second);
  }
}

it("ends each idle session at the server's own limit for it, whatever stands before it") {
  static const int64_t limits[] = {900 * MP_SECOND, 9 * MP_SECOND, 900 * MP_SECOND};
  mp_loan *borrowed[3];
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  for (int i = 0; i < 3; i++) {
    fake.idle_limit_ns = limits[i];
    borrowed[i] = lend();
    s[i] = session_of(borrowed[i]);
  }
  for (int i = 0; i < 3; i++)
    release(borrowed[i]);
  pass(9 * MP_SECOND - 1);
  release(lend());
  expect_equal(stats().idle, 3);
  pass(1);
  release(lend());
  expect(!s[0]->closed && s[1]->closed && !s[2]->closed);
}

it("does not end all sessions at the same instant that were opened together") {
  int64_t least = MP_NEVER, most = 0;
  config.max_size = 20;
  open_pool();
  for (int i = 0; i < 20; i++) {
    int64_t expires = lend()->slot->expires_ns;
    least = expires < least ? expires : least;
    most = expires > most ? expires : most;
  }
  expect(most - least > 60 * MP_SECOND);
}

it("closes a session whose lifetime ends while it is lent at its release") {
  open_pool();
  mp_loan *loan = lend();
  pass(1801 * MP_SECOND);
  expect_equal(query(loan), MP_DONE);
  release(loan);
  expect_equal(stats().retired, 1);
  expect_equal(stats().size, 0);
}

it("passes over a session whose lifetime is over while an older one may stay") {
  mp_session *s[2];
  config.idle_timeout_ns = MP_NEVER;
  open_pool();
  make_idle(2, s);
  pool->idle.newest->expires_ns = fake.now_ns;
  expect(session_of(lend()) == s[0]);
  expect(s[1]->closed);
  expect_equal(stats().retired, 1);
}

it("keeps sessions for ever when neither limit is set") {
  config.idle_timeout_ns = config.max_lifetime_ns = MP_NEVER;
  open_pool();
  mp_session *s = make_one_idle();
  pass(1000000 * MP_SECOND);
  expect(session_of(lend()) == s);
}

it("is not confused by a session that dies between one look and the next") {
  mp_session *s[2];
  open_pool();
  fake.slow_resets = true;
  make_idle(2, s);
  dies(s[1]);
  s[0]->looks_left = 1;
  mp_loan *loan = ask_and_wait();
  expect(session_of(loan) == s[0]);
  dies(s[0]);
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.opened, 3);
}

it("finds a session that dies right after it was picked with the replies to its reset") {
  open_pool();
  mp_session *s = make_one_idle();
  s->looks_left = 1;
  lend();
  expect(s->closed);
  expect_equal(stats().stale, 1);
}

it("lends the newest of the living when it finds a dead one") {
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  make_idle(3, s);
  dies(s[2]);
  expect(session_of(lend()) == s[1]);
}

it("closes the other dead sessions also when death shows only behind a reset") {
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  make_idle(3, s);
  s[2]->looks_left = 1;
  dies(s[0]);
  expect(session_of(lend()) == s[1]);
  expect(s[0]->closed && s[2]->closed);
  expect_equal(stats().stale, 2);
}
