/* Thousands of random operations by many loans on an unreliable server. The books of the pool
   are checked after each; see check_pool. In the end the server recovers, and everything must
   come to rest. */
#include "world.h"

enum { BORROWERS = 24, STEPS = 2500, SEEDS = 32 };

static unsigned borrowers;  /* at most BORROWERS */
static unsigned promptness; /* of the server: percent of the chances that it takes to answer */

/* As a scheduler would: only what is due is stepped. */
static bool due(const mp_loan *loan) {
  mp_wait wait = wait_of(loan);
  return has_come(wait) || fake.now_ns >= wait.until_ns;
}

static void continue_operation(mp_loan *loan) {
  if (due(loan))
    step(loan);
}

static bool is_at_rest(const mp_loan *loan) {
  return mp_loan_is_held(loan) && !is_busy(loan) && mp_loan_id(loan) != 0;
}

/* As a caller with an on_connect does, unless it is interrupted. */
static void prepare(mp_loan *loan) {
  bool begun = session_of(loan)->recording;
  if (!begun)
    record(loan, true);
  else if (session_of(loan)->rows > 0)
    fetch(loan);
  else if (fake_random(2) == 0)
    record(loan, false);
  else
    query(loan);
}

/* The end of a transaction may leave one, as when it fails. */
static void query_and_leave(mp_loan *loan) {
  if (is_at_rest(loan))
    session_of(loan)->in_transaction = fake_random(8) == 0;
  query_last(loan);
  if (fake_random(2) == 0 && !is_busy(loan))
    release(loan);
}

static void use(mp_loan *loan) {
  if (config.hooked && is_at_rest(loan) && mp_loan_is_fresh(loan) && fake_random(8) > 0) {
    prepare(loan);
    return;
  }
  switch (fake_random(13)) {
  case 10:
  case 11:
  case 12:
    query_and_leave(loan);
    break;
  case 0:
    ping(loan);
    break;
  case 1:
    query_idempotent(loan);
    break;
  case 2:
    query_for(loan, (int64_t)fake_random(1000) * MP_MILLISECOND);
    break;
  case 3:
    release(loan);
    break;
  case 4:
    discard(loan);
    break;
  case 5:
    reset(loan);
    break;
  case 6:
    pause_for(loan, (int64_t)fake_random(300) * MP_MILLISECOND);
    break;
  default:
    query(loan);
  }
  while (is_at_rest(loan) && fake_random(3) > 0 && session_of(loan)->rows > 0)
    fetch(loan);
  if (is_at_rest(loan) && fake_random(8) == 0)
    next_result(loan);
}

static void act(mp_loan *loan) {
  if (fake_random(40) == 0)
    free_loan(loan);
  else if (fake_random(40) == 0)
    lose(loan);
  else if (fake_random(40) == 0)
    abandon(loan);
  else if (is_busy(loan))
    continue_operation(loan);
  else if (mp_loan_is_held(loan))
    use(loan);
  else if (fake_random(10) == 0)
    pause_for(loan, (int64_t)fake_random(300) * MP_MILLISECOND);
  else
    free_loan(loan);
}

static mp_session *some_session(void) {
  if (fake_random(4) > 0)
    return pool->slots[fake_random(config.max_size)].session;
  return pool->servers[fake_random(config.hosts)].probe.session;
}

static void something_happens(void) {
  mp_session *session = some_session();
  if (!session || fake_random(100) >= promptness)
    return;
  if (fake_random(60) == 0)
    dies(session);
  else if (session->replies_pending)
    reply(session);
  else if (session->busy && !session->answered)
    answer(session, fine);
}

static mp_loan *some_loan(void) {
  mp_loan **place = &loans[fake_random(borrowers)];
  return *place;
}

static void one_step(void) {
  mp_loan *loan = some_loan();
  if (loan)
    act(loan);
  else if (fake_random(2) == 0)
    ask((int64_t)fake_random(4000) * MP_MILLISECOND);
  for (int i = 0; i < 3; i++)
    something_happens();
  if (fake_random(3) == 0)
    pass((int64_t)fake_random(40) * MP_MILLISECOND);
  if (fake_random(200) == 0)
    pass((int64_t)fake_random(700) * MP_SECOND);
  if (fake_random(300) == 0)
    evict();
  if (fake_random(300) == 0)
    mp_pool_avoid(pool, (unsigned)fake_random(config.hosts), (int64_t)fake_random(3) * MP_SECOND);
  if (fake_random(300) == 0)
    fake.writes[fake_random(config.hosts)] ^= true;
  nobody_hears = fake_random(20) == 0;
}

static void recover(void) {
  fake.chaos = 0;
  nobody_hears = false;
  fake.slow_resets = false;
  for (unsigned i = 1; i <= fake.opened; i++) {
    mp_session *session = session_number(i);
    if (!session->closed && session->replies_pending)
      reply(session);
    if (!session->closed && session->busy && !session->answered)
      answer(session, fine);
  }
}

static unsigned unfinished(void) {
  unsigned count = 0;
  for (unsigned i = 0; i < 256; i++)
    count += loans[i] && is_busy(loans[i]);
  return count;
}

/* One round: what is due goes on, what has got its session gives it back. */
static void round_of_all(void) {
  for (unsigned i = 0; i < 256; i++) {
    mp_loan *loan = loans[i];
    if (loan && is_busy(loan))
      continue_operation(loan);
    if (loan && !is_busy(loan))
      free_loan(loan);
  }
}

static void come_to_rest(void) {
  recover();
  for (int i = 0; i < 200 && unfinished() > 0; i++) {
    round_of_all();
    recover();
    pass(10 * MP_MILLISECOND);
  }
  round_of_all();
  recover();
  expect_equal(unfinished(), 0);
  expect_equal(stats().lent, 0);
  expect_equal(stats().waiting, 0);
}

/* Nothing is lost: the whole pool can be lent. */
static void lend_everything(void) {
  pass(2 * MP_SECOND);
  for (unsigned i = 0; i < config.max_size; i++)
    expect_equal(query(lend()), MP_DONE);
  expect_equal(stats().lent, config.max_size);
  expect_equal(stats().recovering, 0);
}

static void run(uint64_t seed) {
  spec_note("seed %u", (unsigned)seed);
  fake_seed(seed);
  borrowers = 1 + (unsigned)fake_random(BORROWERS);
  promptness = 1 + (unsigned)fake_random(60);
  config.max_size = 1 + (unsigned)fake_random(6);
  config.hosts = 1 + (unsigned)fake_random(3);
  config.balance = fake_random(2) == 0 ? MP_BALANCE_FIRST : MP_BALANCE_SPREAD;
  config.need = (mp_need)fake_random(3);
  config.silence_ns = fake_random(2) == 0 ? 0 : (int64_t)fake_random(400) * MP_MILLISECOND;
  config.min_idle = (unsigned)fake_random(3);
  config.retries = (unsigned)fake_random(4);
  config.hooked = fake_random(2) == 0;
  config.seed = seed;
  config.reset_together = fake_random(3) > 0;
  if (fake_random(2) == 0)
    wait_in_memory();
  else
    config.unpark = NULL;
  fake.idle_limit_ns = 300 * MP_SECOND;
  fake.slow_resets = fake_random(2) == 0;
  fake.chaos = (unsigned)fake_random(60);
  open_pool();
  for (int i = 0; i < STEPS; i++) {
    fake.rows = (unsigned)fake_random(2);
    one_step();
  }
  come_to_rest();
  lend_everything();
}

static void end_run(void) {
  for (unsigned i = 0; i < 256; i++)
    if (loans[i])
      free_loan(loans[i]);
  drop_pool();
}

it("keeps its books in any order of events, loses no slot, and comes to rest") {
  for (uint64_t seed = 1; seed <= SEEDS; seed++) {
    run(seed);
    end_run();
  }
}

it("can be dropped in the middle of anything") {
  for (uint64_t seed = 101; seed <= 100 + SEEDS; seed++) {
    spec_note("seed %u", (unsigned)seed);
    fake_seed(seed);
    borrowers = 1 + (unsigned)fake_random(BORROWERS);
    promptness = 10;
    config.max_size = 3;
    config.hosts = 1 + (unsigned)fake_random(3);
    config.silence_ns = 200 * MP_MILLISECOND;
    fake.chaos = 40;
    fake.slow_resets = true;
    open_pool();
    for (int i = 0; i < 300; i++)
      one_step();
    close_pool();
    mp_pool_abort(pool);
    check_pool();
    drop_pool();
    for (unsigned i = 0; i < 256; i++)
      if (loans[i])
        free_loan(loans[i]);
    expect_equal(fake.freed, seed - 100);
    expect_equal(fake.opened, fake.closed);
    expect_equal(fake.wakeups, 0);
  }
}
