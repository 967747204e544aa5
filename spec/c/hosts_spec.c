/* Several hosts behind one pool: which of them a session is opened on, what bars one, and how it comes back.
 */
#include "servers.h"
#include "world.h"

static const fake_answer refuses = {.status = MP_FAILED, .code = 1045, .phase = MP_PHASE_CONNECT};
static const fake_answer is_down = {.status = MP_FAILED, .code = 2002, .phase = MP_PHASE_CONNECT};

static void open_hosts(unsigned count, unsigned max_size) {
  config.hosts = count;
  config.max_size = max_size;
  open_pool();
}

static unsigned tries_of(unsigned host) {
  unsigned count = 0;
  for (unsigned i = 1; i <= fake.opened; i++)
    count += session_number(i)->host == host;
  return count;
}

/* ---- seeking on ---- */

it("opens all sessions on the first host that is well") {
  open_hosts(3, 3);
  for (int i = 0; i < 3; i++)
    expect_equal(host_of(lend()), 0);
}

it("seeks on at once when a host cannot be reached, whatever the number of retries") {
  config.retries = 0;
  open_hosts(3, 2);
  fake.by_host[0] = fake.by_host[1] = is_down;
  expect_equal(host_of(lend()), 2);
  expect_equal(stats().connect_failures, 2);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  expect_equal(about(0).moved, 1);
  expect_equal(about(2).standing, MP_STANDING_WELL);
}

it("seeks on when one host refuses for good, and leaves that one alone for half a minute") {
  open_hosts(2, 2);
  fake.by_host[0] = refuses;
  for (int i = 0; i < 29; i++) {
    expect_equal(use_one(), 1);
    pass(MP_SECOND);
  }
  expect_equal(tries_of(0), 1);
  pass(2 * MP_SECOND);
  use_one();
  expect_equal(tries_of(0), 2);
}

it("fails at once, not to be retried, only when every host refuses, and says what each said") {
  open_hosts(2, 2);
  fake.by_host[0] = refuses;
  fake.by_host[1] = (fake_answer){.status = MP_FAILED, .code = 1049, .phase = MP_PHASE_CONNECT};
  for (int i = 0; i < 3; i++) {
    ask(5 * MP_SECOND);
    expect_equal(last.status, MP_FAILED);
    expect(!last.err.retryable && !last.err.host);
    expect(strstr(last.err.message, "a:1: failure 1045") && strstr(last.err.message, "b:2: failure 1049"));
  }
  expect_equal(tries_of(0) + tries_of(1), 4);
  fake.by_host[0] = fine; /* and nobody waits for the half minute */
  fake.by_host[1] = fine;
  lend();
}

it("waits while all are barred, tries one at a time, and its error names each with its reason") {
  open_hosts(3, 4);
  for (int i = 0; i < 3; i++)
    fake.by_host[i] = is_down;
  mp_loan *loan = ask_and_wait(), *second = ask_and_wait();
  for (int i = 0; i < 1200 && is_busy(loan); i++) {
    pass(5 * MP_MILLISECOND);
    if (fake.now_ns >= wait_of(loan).until_ns || readable(wait_of(loan).fd))
      step(loan);
    expect(pool->counts[SLOT_OPENING] <= 1);
  }
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect(last.err.retryable);
  expect(strstr(last.err.message, "a:1: ") && strstr(last.err.message, "b:2: ") &&
         strstr(last.err.message, "c:3: "));
  expect(mp_pool_take_events(pool) & MP_EVENT_NO_HOST);
  free_loan(second);
}

it("serves who waits once one of them is back") {
  open_hosts(2, 2);
  fake.by_host[0] = fake.by_host[1] = is_down;
  mp_loan *loan = ask_and_wait();
  fake.by_host[1] = fine;
  for (int i = 0; i < 20 && is_busy(loan); i++) {
    pass(50 * MP_MILLISECOND);
    step(loan);
  }
  expect_equal(last.status, MP_DONE);
  expect_equal(host_of(loan), 1);
}

/* ---- a connect that keeps waiting ---- */

it("takes another host when a connect takes 300 ms, and lets that go on") {
  open_hosts(2, 2);
  plan(ON_OPEN, waits);
  mp_loan *loan = ask_and_wait();
  mp_session *slow = session_number(1);
  expect_equal(last.wait.until_ns, fake.now_ns + 300 * MP_MILLISECOND);
  pass(300 * MP_MILLISECOND);
  expect_equal(step(loan), MP_DONE);
  expect_equal(host_of(loan), 1);
  expect(!slow->closed);
  answer(slow, fine);
  use_one();
  expect_equal(about(0).standing, MP_STANDING_WELL);
  expect_equal(stats().opened, 2);
}

it("gives its own place to the other host where no other place is free") {
  open_hosts(2, 1);
  plan(ON_OPEN, waits);
  mp_loan *loan = ask_and_wait();
  pass(300 * MP_MILLISECOND);
  expect_equal(step(loan), MP_DONE);
  expect_equal(host_of(loan), 1);
  expect(session_number(1)->closed);
}

it("waits on where the other hosts are barred") {
  open_hosts(2, 2);
  fake.by_host[0] = is_down;
  plan(ON_OPEN, is_down);
  plan(ON_OPEN, waits);
  mp_loan *loan = ask_and_wait();
  pass(300 * MP_MILLISECOND);
  expect_equal(step(loan), MP_WAIT);
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_DONE);
}

/* ---- coming back ---- */

static void bar_first_host(void) {
  fake.by_host[0] = is_down;
  use_one();
}

it("tries a barred host beside the work, outside of max_size, one attempt at a time") {
  open_hosts(2, 1);
  bar_first_host();
  plan(ON_OPEN, waits);
  for (int i = 0; i < 50; i++) {
    pass(100 * MP_MILLISECOND);
    expect_equal(use_one(), 1);
    expect(probe_of(0) && probe_of(0)->beside);
  }
  expect_equal(tries_of(0), 2);
  answer(probe_of(0), fine);
  use_one();
  expect(!probe_of(0));
  expect_equal(about(0).standing, MP_STANDING_WELL);
}

it("tries it with growing pauses, of a second at most") {
  open_hosts(2, 1);
  bar_first_host();
  for (int i = 0; i < 1000; i++) {
    pass(10 * MP_MILLISECOND);
    use_one();
  }
  expect(tries_of(0) >= 10 && tries_of(0) <= 30);
}

it("brings the sessions back to the first host, one in 50 ms") {
  open_hosts(2, 3);
  fake.by_host[0] = is_down;
  mp_loan *three[] = {lend(), lend(), lend()};
  for (int i = 0; i < 3; i++) {
    query(three[i]);
    free_loan(three[i]);
  }
  fake.by_host[0] = fine;
  pass(2 * MP_SECOND);
  expect_equal(use_one(), 1);
  expect_equal(about(0).standing, MP_STANDING_WELL);
  for (int i = 0; i < 10; i++) {
    use_one();
    pass(20 * MP_MILLISECOND);
    expect(about(1).sessions + (unsigned)i / 2 >= 2);
  }
  expect_equal(about(1).sessions, 0);
  expect_equal(use_one(), 0);
}

it("tells of a bar and of its end, once") {
  unsigned host;
  open_hosts(2, 1);
  bar_first_host();
  expect(mp_pool_take_events(pool) & MP_EVENT_NEWS);
  expect_equal(mp_pool_next_news(pool, &host), MP_HOST_BARRED);
  expect_equal(host, 0);
  expect_equal(mp_pool_next_news(pool, &host), 0);
  pass(MP_SECOND);
  use_one();
  expect_equal(mp_pool_next_news(pool, &host), 0);
  fake.by_host[0] = fine;
  pass(2 * MP_SECOND);
  use_one();
  expect_equal(mp_pool_next_news(pool, &host), MP_HOST_WELL);
  expect(about(0).barred_ns >= 3 * MP_SECOND);
}

it("closes the attempts that are under way with the pool") {
  open_hosts(2, 1);
  bar_first_host();
  pass(MP_SECOND);
  plan(ON_OPEN, waits);
  use_one();
  mp_session *probe = probe_of(0);
  close_pool();
  expect(probe->closed);
}

/* ---- spread ---- */

it("spreads its sessions evenly, and its loans where one follows the other") {
  unsigned loans_of[3] = {0};
  config.balance = MP_BALANCE_SPREAD;
  open_hosts(3, 6);
  mp_loan *held[6];
  for (int i = 0; i < 6; i++)
    query(held[i] = lend());
  for (unsigned i = 0; i < 3; i++)
    expect_equal(about(i).lent, 2);
  for (int i = 0; i < 6; i++)
    free_loan(held[i]);
  for (int i = 0; i < 300; i++) {
    loans_of[use_one()]++;
    pass(MP_MILLISECOND);
  }
  for (int i = 0; i < 3; i++)
    expect_equal(loans_of[i], 100);
}

it("begins at another host with another seed") {
  unsigned begun[3] = {0};
  config.balance = MP_BALANCE_SPREAD;
  for (config.seed = 1; config.seed <= 30; config.seed++) {
    open_hosts(3, 2);
    begun[use_one()]++;
    drop_pool();
  }
  for (int i = 0; i < 3; i++)
    expect_equal(begun[i], 10);
}

it("is even again after a host was away") {
  config.balance = MP_BALANCE_SPREAD;
  open_hosts(2, 4);
  fake.by_host[0] = is_down;
  mp_session *idle[4];
  make_idle(4, idle);
  expect_equal(about(1).sessions, 4);
  fake.by_host[0] = fine;
  for (int i = 0; i < 60; i++) {
    pass(100 * MP_MILLISECOND);
    mp_loan *two[] = {lend(), lend()};
    query(two[0]);
    query(two[1]);
    free_loan(two[0]);
    free_loan(two[1]);
  }
  expect(about(0).sessions >= 1 && about(1).sessions <= about(0).sessions + 1);
}

/* ---- bad sessions ---- */

it("sends the first statement elsewhere when a server may not run it, and bars that server") {
  static const unsigned codes[] = {1047, 1290, 1836};
  for (int i = 0; i < 3; i++) {
    open_hosts(2, 2);
    mp_loan *loan = lend(), *later = lend();
    plan(ON_QUERY, fails(codes[i], MP_PHASE_REPLY));
    expect_equal(query(loan), MP_DONE);
    expect_equal(host_of(loan), 1);
    expect_equal(about(0).standing, MP_STANDING_BARRED);
    release(later);
    expect_equal(about(0).sessions, 0);
    free_loan(loan);
    free_loan(later);
    drop_pool();
  }
}

it("leaves a server that does not know the outcome of a commit, and says that it is unknown") {
  open_hosts(2, 2);
  mp_loan *loan = lend(), *later = lend();
  plan(ON_QUERY, fails(1180, MP_PHASE_REPLY));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  release(loan);
  release(later);
  expect_equal(about(0).sessions, 0);
  expect_equal(use_one(), 1);
}

it("returns the refusal of a later statement, with its host") {
  open_hosts(2, 2);
  mp_loan *loan = lend();
  query(loan);
  plan(ON_QUERY, fails(1290, MP_PHASE_REPLY));
  expect_equal(query(loan), MP_FAILED);
  expect(last.err.retryable && strcmp(last.err.host, "a:1") == 0);
  release(loan);
  expect_equal(use_one(), 1);
}

it("lends no idle session of a host whose reset says that it may not serve") {
  mp_session *idle[3];
  open_hosts(2, 3);
  make_idle(3, idle);
  plan(ON_RESET_READ, fails(1047, MP_PHASE_RESET));
  expect_equal(use_one(), 1);
  expect_equal(about(0).sessions, 0);
  for (int i = 0; i < 3; i++)
    expect(idle[i]->closed);
}

it("keeps the sessions of a host where one was killed") {
  mp_session *idle[3];
  open_hosts(2, 3);
  make_idle(3, idle);
  plan(ON_RESET_READ, fails(2013, MP_PHASE_RESET));
  expect_equal(use_one(), 0);
  expect_equal(about(0).standing, MP_STANDING_WELL);
}

/* ---- what the user wants ---- */

it("avoids a host for as long as it is told, drains it, and comes back") {
  open_hosts(2, 2);
  mp_loan *loan = lend();
  use_one();
  mp_pool_avoid(pool, 0, 10 * MP_SECOND);
  expect_equal(about(0).sessions, 1);
  expect_equal(query(loan), MP_DONE);
  release(loan);
  expect_equal(about(0).sessions, 0);
  for (int i = 0; i < 9; i++) {
    expect_equal(use_one(), 1);
    pass(MP_SECOND);
  }
  pass(2 * MP_SECOND);
  use_one();
  pass(MP_SECOND);
  expect_equal(use_one(), 0);
}

it("ends the avoidance at once with 0 seconds, also for who waits") {
  open_hosts(1, 2);
  mp_pool_avoid(pool, 0, 10 * MP_SECOND);
  mp_loan *loan = ask_and_wait();
  mp_pool_avoid(pool, 0, 0);
  expect_equal(step(loan), MP_DONE);
}

it("evicts the sessions of one host alone") {
  config.balance = MP_BALANCE_SPREAD;
  mp_session *idle[4];
  open_hosts(2, 4);
  make_idle(4, idle);
  mp_pool_evict_host(pool, 1);
  check_pool();
  expect_equal(about(0).sessions, 2);
  expect_equal(about(1).sessions, 0);
  expect_equal(stats().retired, 2);
}
