/* A pool's need: sessions for writing lead to no server that is read-only, and who finds none waits; sessions
   for reading lead to one, as long as one is well. */
#include "servers.h"
#include "world.h"

static const fake_answer is_down = {.status = MP_FAILED, .code = 2002, .phase = MP_PHASE_CONNECT};
static const fake_answer is_read_only = {.status = MP_FAILED, .code = 1836, .phase = MP_PHASE_CONNECT};

static void open_hosts(unsigned count, unsigned max_size, mp_need need) {
  config.hosts = count;
  config.max_size = max_size;
  config.need = need;
  open_pool();
}

/* As a scheduler would, for so long. */
static void wait_for(mp_loan *loan, int64_t duration_ns) {
  for (int64_t end_ns = fake.now_ns + duration_ns; is_busy(loan) && fake.now_ns < end_ns;) {
    pass(5 * MP_MILLISECOND);
    if (fake.now_ns >= wait_of(loan).until_ns || has_come(wait_of(loan)))
      step(loan);
  }
}

/* ---- write ---- */

it("opens no session for writing on a server that is read-only") {
  open_hosts(3, 2, MP_NEED_WRITE);
  fake.by_host[0] = is_read_only;
  fake.writes[1] = true;
  expect_equal(use_one(), 1);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  expect_equal(about(0).writable, MP_WRITABLE_NO);
  expect_equal(about(1).writable, MP_WRITABLE_YES);
  expect_equal(about(2).writable, MP_WRITABLE_UNKNOWN);
}

it("waits for one that may write, and says of each in the end that it may not") {
  open_hosts(2, 2, MP_NEED_WRITE);
  fake.by_host[0] = fake.by_host[1] = is_read_only;
  mp_loan *loan = ask_and_wait(), *late = ask_and_wait();
  wait_for(loan, MP_SECOND);
  expect(is_busy(loan));
  fake.by_host[1] = fine;
  wait_for(loan, MP_SECOND);
  expect_equal(last.status, MP_DONE);
  expect_equal(host_of(loan), 1);
  free_loan(loan);
  wait_for(late, MP_SECOND);
  expect_equal(last.status, MP_DONE);
  evict();
  free_loan(late);
  fake.by_host[1] = is_read_only;
  loan = ask_and_wait();
  wait_for(loan, 10 * MP_SECOND);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect(last.err.retryable && last.err.executed == MP_EXECUTED_NO);
  expect(strstr(last.err.message, "a:1: ") && strstr(last.err.message, "b:2: "));
}

static void refuse_first_statement(unsigned code) {
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(code, MP_PHASE_REPLY));
  for (unsigned i = 0; i < config.hosts; i++)
    fake.by_host[i] = is_read_only;
  expect_equal(query(loan), MP_WAIT);
  wait_for(loan, MP_SECOND);
  expect(is_busy(loan));
  fake.by_host[config.hosts - 1] = fine;
  wait_for(loan, MP_SECOND);
  expect_equal(last.status, MP_DONE);
  expect_equal(host_of(loan), config.hosts - 1);
  expect_equal(fake.calls[ON_QUERY], 2);
  free_loan(loan);
}

it("has a first statement that was refused wait for a server that may write") {
  static const unsigned codes[] = {1047, 1290, 1836};
  for (int i = 0; i < 12; i++) {
    config.may_queue = i < 6; /* else: a plain program */
    open_hosts(i % 2 == 0 ? 2 : 1, 2, MP_NEED_WRITE);
    fake.calls[ON_QUERY] = 0;
    refuse_first_statement(codes[i / 2 % 3]);
    drop_pool();
    fake.by_host[0] = fake.by_host[1] = fine;
  }
}

it("returns the refusal of a single server where there is no need") {
  open_hosts(1, 2, MP_NEED_NOTHING);
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(1290, MP_PHASE_REPLY));
  expect_equal(query(loan), MP_FAILED);
  expect(last.err.retryable);
}

it("lends no session of a server whose reset says that it is read-only, and takes that for no failure") {
  mp_session *idle[3];
  open_hosts(2, 3, MP_NEED_WRITE);
  make_idle(3, idle);
  mp_loan *loan = lend();
  query(loan);
  plan(ON_RESET_READ, fails(1836, MP_PHASE_RESET));
  expect_equal(use_one(), 1);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  expect_equal(about(0).writable, MP_WRITABLE_NO);
  expect_equal(about(0).sessions, 1);
  free_loan(loan);
  expect_equal(about(0).sessions, 0);
  for (int i = 0; i < 3; i++)
    expect(idle[i]->closed);
  expect_equal(stats().resets_failed, 0);
}

/* ---- read ---- */

it("opens sessions for reading on read-only servers, and on others while none of those is well") {
  open_hosts(3, 4, MP_NEED_READ);
  fake.writes[0] = true;
  expect_equal(use_one(), 0); /* nothing is known before */
  expect_equal(use_one(), 1);
  fake.by_host[1] = fake.by_host[2] = is_down;
  mp_pool_evict(pool);
  expect_equal(use_one(), 0);
  expect_equal(about(0).sessions, 1);
  fake.by_host[2] = fine;
  for (int i = 0; i < 10; i++) {
    pass(300 * MP_MILLISECOND);
    use_one();
  }
  expect_equal(use_one(), 2);
}

it("spreads sessions for reading over the read-only servers alone") {
  mp_loan *held[4];
  config.balance = MP_BALANCE_SPREAD;
  open_hosts(3, 4, MP_NEED_READ);
  fake.writes[1] = true;
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 4; i++)
      query(held[i] = lend());
    for (int i = 0; i < 4; i++)
      free_loan(held[i]);
    pass(100 * MP_MILLISECOND);
  }
  expect_equal(about(0).sessions, 2);
  expect_equal(about(1).sessions, 0);
  expect_equal(about(2).sessions, 2);
}

it("opens sessions for reading anew when their server has become one that may write, which it is not barred "
   "for") {
  mp_session *idle[2];
  open_hosts(2, 2, MP_NEED_READ);
  make_idle(2, idle);
  expect_equal(about(0).writable, MP_WRITABLE_NO);
  fake.writes[0] = true;
  plan(ON_RESET_READ, fails(1836, MP_PHASE_RESET));
  expect_equal(use_one(), 0);
  expect(idle[0]->closed && idle[1]->closed);
  expect_equal(about(0).standing, MP_STANDING_WELL);
  expect_equal(about(0).writable, MP_WRITABLE_YES);
  pass(MP_SECOND);
  use_one();
  expect_equal(use_one(), 1);
}

it("returns the refusal of a write that came to a pool for reading, and bars nothing") {
  static const unsigned codes[] = {1290, 1836, 1792};
  open_hosts(2, 2, MP_NEED_READ);
  for (int i = 0; i < 3; i++) {
    mp_loan *loan = lend();
    plan(ON_QUERY, fails(codes[i], MP_PHASE_REPLY));
    expect_equal(query(loan), MP_FAILED);
    expect(!last.err.retryable && !last.err.fatal);
    expect_equal(last.err.executed, MP_EXECUTED_NO);
    free_loan(loan);
    expect_equal(about(0).standing, MP_STANDING_WELL);
  }
  expect_equal(stats().opened, 1);
}
