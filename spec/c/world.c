#include "world.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "servers.h"

mp_pool_config config;
mp_pool *pool;
struct last last;
mp_loan *loans[256];

/* Beside each loan: its number, what it waits for, and what it had before the last step. */
static struct record {
  unsigned number;
  mp_wait wait; /* in memory: for a number of its own in the place of a descriptor */
  bool unparked;
  bool had_slot, queued;
} records[256];
static unsigned loan_count, pools;

static struct record *record_of(const mp_loan *loan) {
  for (unsigned i = 0; i < 256; i++)
    if (loans[i] == loan)
      return &records[i];
  spec_fail(__FILE__, __LINE__, "no such loan");
}

/* ---- waiting in memory ---- */

enum { FIRST_PARKED = 1000000 };

bool nobody_hears;

/* Who is being stepped needs none, and a program could do nothing with it. */
static bool unpark(void *context, mp_loan *loan) {
  expect(context == &config && loan->asleep);
  if (nobody_hears)
    return false;
  record_of(loan)->unparked = true;
  return true;
}

void wait_in_memory(void) {
  config.unpark = unpark;
  config.context = &config;
}

bool has_come(mp_wait wait) {
  return wait.fd < FIRST_PARKED ? readable(wait.fd) : records[wait.fd - FIRST_PARKED].unparked;
}

static bool is_woken(const mp_loan *loan) {
  return config.unpark ? record_of(loan)->unparked : is_notified(loan->wakeup_fd);
}

/* The pool knows that somebody was not told, and tries again. */
static bool is_served(const mp_loan *loan) {
  mp_wait wait = record_of(loan)->wait;
  return has_come(wait) || (config.unpark && (wait.until_ns <= fake.now_ns || pool->queue.unheard));
}

/* ---- the books ---- */

/* What the pool itself cannot see; the rest is pool_check's. */

static void check_sessions(void) {
  unsigned with_session = 0;
  for (unsigned i = 0; i < config.max_size; i++) {
    const mp_slot *slot = &pool->slots[i];
    if (slot->state == SLOT_RECOVERING)
      expect(slot->session->doing == ON_RECOVER);
    with_session += slot->session != NULL;
    for (unsigned j = 0; slot->session && j < i; j++)
      expect(pool->slots[j].session != slot->session);
  }
  for (unsigned i = 0; i < config.hosts; i++)
    with_session += pool->servers[i].probe.session != NULL;
  expect_equal(fake.opened - fake.closed, with_session);
}

static void check_stats(void) {
  mp_stats s = stats();
  expect(s.size <= config.max_size);
  expect_equal(s.size, s.idle + s.lent + s.opening + s.recovering);
  expect_equal(s.opened - s.closed, s.idle + s.lent + s.recovering);
}

/* Those that wait are woken when the pool is closed. While the server is down the first knows when to
   look. */
static void check_waiting(void) {
  const mp_loan *first = pool->queue.first;
  for (const mp_loan *loan = first; pool->closed && loan; loan = loan->turn.next)
    expect(is_woken(loan) || pool->queue.unheard);
  if (!first || pool->closed || pool->counts[SLOT_EMPTY] == 0 || pool->counts[SLOT_OPENING] > 0)
    return;
  expect(is_woken(first) || pool->queue.unheard ||
         record_of(first)->wait.until_ns <= servers_retry_at_ns(pool));
}

/* Of all loans, also of those that no slot and no queue knows: 13, 15 and 18 of pool_check. */
static void check_loans(void) {
  for (unsigned i = 0; i < 256; i++) {
    const mp_loan *loan = loans[i];
    if (!loan)
      continue;
    bool reassigned = loan->left != NULL;
    bool queued = !reassigned && (loan->stage == LOAN_QUEUED || loan->stage == LOAN_HANDED);
    bool listens = queued || loan->operation == OP_PAUSE;
    expect((config.unpark ? loan->asleep : loan->wakeup_fd >= 0) == listens);
    expect(!reassigned ||
           (loan->stage == LOAN_HANDED && loan->left->loan == loan && loan->left != loan->slot));
    expect(loan->stage != LOAN_HANDED || is_served(loan));
    expect(!loan->parked || loan->stage == LOAN_OPENING);
    expect(loan->stage != LOAN_SEEKING);
    expect(!loan->slot || loan->slot->loan == loan);
    expect((loan->stage == LOAN_HELD) <= (loan->slot != NULL) && (loan->stage != LOAN_SPENT || !loan->slot));
  }
}

static void remember(unsigned i) {
  records[i].had_slot = loans[i] && loans[i]->slot;
  records[i].queued = loans[i] && loans[i]->stage == LOAN_QUEUED;
}

/* Who got a slot in this step came before all who waited and still wait; but not before one whose step it
   was, who may have been handed another slot first, which failed. */
static void check_order(void) {
  for (unsigned i = 0; i < 256; i++) {
    bool served = loans[i] && loans[i]->slot && !records[i].had_slot;
    for (unsigned j = 0; served && j < 256; j++)
      if (loans[j] && loans[j]->stage == LOAN_QUEUED && records[j].queued && records[j].number != fake.user)
        expect(loans[i]->turn.ticket < loans[j]->turn.ticket);
  }
  for (unsigned i = 0; i < 256; i++)
    remember(i);
}

void check_pool(void) {
  if (!pool)
    return;
  pool_check(pool);
  check_sessions();
  check_stats();
  check_waiting();
  check_loans();
  check_order();
}

/* ---- begin and end ---- */

static void begin(void) {
  fake_begin();
  memset(loans, 0, sizeof loans);
  memset(records, 0, sizeof records);
  loan_count = pools = 0;
  pool = NULL;
  nobody_hears = false;
  last = (struct last){0};
  config = (mp_pool_config){
      .max_size = 2,
      .hosts = 1,
      .retries = 2,
      .reset = true,
      .reset_together = true,
      .may_queue = true,
      .idle_timeout_ns = 600 * MP_SECOND,
      .max_lifetime_ns = 1800 * MP_SECOND,
      .query_timeout_ns = MP_NEVER,
      .reset_timeout_ns = 2 * MP_SECOND,
      .seed = 7,
  };
}

static void end_well(void) {
  for (unsigned i = 0; i < 256; i++)
    if (loans[i])
      free_loan(loans[i]);
  if (pool)
    drop_pool();
  expect_equal(fake.opened - fake.closed, 0);
  expect_equal(fake.wakeups, 0);
  expect_equal(fake.freed, pools);
}

static void end(bool failed) {
  if (!failed)
    end_well();
  fake_end();
}

__attribute__((constructor)) static void stand_around(void) {
  spec_around(begin, end);
}

void open_pool(void) {
  pool = mp_pool_new(&config, fake_driver());
  expect(pool);
  pools++;
  check_pool();
}

void close_pool(void) {
  mp_pool_close(pool);
  check_pool();
}

void drop_pool(void) {
  mp_pool *dropped = pool;
  pool = NULL; /* may be gone: the books are closed */
  mp_pool_unref(dropped);
}

/* ---- operations ---- */

mp_loan *new_loan(void) {
  unsigned i = 0;
  while (loans[i])
    i++;
  expect(i < 255);
  loans[i] = mp_loan_new(pool);
  records[i] = (struct record){.number = ++loan_count};
  return loans[i];
}

static void in_the_name_of(const mp_loan *loan) {
  fake.user = record_of(loan)->number;
}

/* What waits in the queue may come back at once only for a reason. */
static void check_no_spin(const mp_loan *loan) {
  bool out_of_time = loan->deadline_ns <= fake.now_ns;
  if (loan->stage == LOAN_QUEUED && !out_of_time)
    expect(last.wait.until_ns > fake.now_ns || is_woken(loan));
}

static void note_wait(struct record *record) {
  expect(last.wait.fd >= 0 || (last.wait.fd == MP_PARKED && config.unpark));
  if (last.wait.fd == MP_PARKED)
    last.wait.fd = FIRST_PARKED + (int)(record - records);
  record->wait = last.wait;
}

static mp_status answered(mp_loan *loan, mp_status status) {
  last.status = status;
  record_of(loan)->unparked = false;
  if (status == MP_WAIT) {
    note_wait(record_of(loan));
    int64_t limit_ns = loan->operation == OP_PAUSE ? loan->pause_until_ns : loan->deadline_ns;
    expect(last.wait.until_ns <= limit_ns || last.wait.until_ns <= fake.now_ns);
    expect(is_busy(loan));
    check_no_spin(loan);
  } else {
    expect(!is_busy(loan));
    expect((status == MP_FAILED) == (last.err.kind != MP_ERR_NONE));
  }
  check_pool();
  return status;
}

mp_status checkout(mp_loan *loan, int64_t timeout_ns) {
  static char labels[1000][16];
  in_the_name_of(loan);
  char *label = labels[fake.user % 1000];
  snprintf(label, sizeof labels[0], "loan %u", fake.user);
  return answered(loan, mp_loan_checkout(loan, timeout_ns, label, &last.wait, &last.err));
}

mp_loan *ask(int64_t timeout_ns) {
  mp_loan *loan = new_loan();
  checkout(loan, timeout_ns);
  return loan;
}

mp_loan *ask_and_wait(void) {
  mp_loan *loan = ask(5 * MP_SECOND);
  expect_equal(last.status, MP_WAIT);
  return loan;
}

mp_loan *lend(void) {
  mp_loan *loan = ask(5 * MP_SECOND);
  expect_equal(last.status, MP_DONE);
  return loan;
}

mp_status step(mp_loan *loan) {
  in_the_name_of(loan);
  return answered(loan, mp_loan_step(loan, &last.wait, &last.err));
}

static mp_status query_with(mp_loan *loan, mp_query_options options) {
  in_the_name_of(loan);
  return answered(loan, mp_loan_query(loan, "SELECT 1", 8, &options, &last.wait, &last.err));
}

mp_status query(mp_loan *loan) {
  return query_with(loan, (mp_query_options){0});
}

mp_status query_for(mp_loan *loan, int64_t timeout_ns) {
  return query_with(loan, (mp_query_options){.timeout_ns = timeout_ns});
}

mp_status query_idempotent(mp_loan *loan) {
  return query_with(loan, (mp_query_options){.idempotent = true});
}

mp_status query_last(mp_loan *loan) {
  return query_with(loan, (mp_query_options){.last = true});
}

mp_status query_written(mp_loan *loan) {
  mp_sql_mode mode = mp_loan_sql_mode(loan);
  return query_with(loan, (mp_query_options){.mode = &mode});
}

mp_status ask_mode(mp_loan *loan, int64_t timeout_ns) {
  mp_query_options options = {.timeout_ns = timeout_ns};
  in_the_name_of(loan);
  return answered(loan, mp_loan_ask(loan, &options, &last.wait, &last.err));
}

mp_status query_as_asked(mp_loan *loan) {
  return query_with(loan, (mp_query_options){.asked = true, .timeout_ns = 1000 * MP_SECOND});
}

mp_status ping(mp_loan *loan) {
  in_the_name_of(loan);
  return answered(loan, mp_loan_ping(loan, MP_SECOND, &last.wait, &last.err));
}

mp_status fetch(mp_loan *loan) {
  in_the_name_of(loan);
  return answered(loan, mp_loan_fetch(loan, &last.row, &last.wait, &last.err));
}

mp_status next_result(mp_loan *loan) {
  in_the_name_of(loan);
  return answered(loan, mp_loan_next_result(loan, &last.more, &last.wait, &last.err));
}

mp_status reset(mp_loan *loan) {
  in_the_name_of(loan);
  return answered(loan, mp_loan_reset(loan, &last.wait, &last.err));
}

mp_status pause_for(mp_loan *loan, int64_t duration_ns) {
  return answered(loan, mp_loan_pause(loan, duration_ns, &last.wait, &last.err));
}

void record(mp_loan *loan, bool on) {
  in_the_name_of(loan);
  mp_loan_record(loan, on);
  check_pool();
}

void release(mp_loan *loan) {
  mp_loan_release(loan, true);
  check_pool();
}

void release_as_it_is(mp_loan *loan) {
  mp_loan_release(loan, false);
  check_pool();
}

void discard(mp_loan *loan) {
  mp_loan_discard(loan);
  check_pool();
}

void lose(mp_loan *loan) {
  mp_loan_lose(loan);
  check_pool();
}

void abandon(mp_loan *loan) {
  mp_loan_abandon(loan);
  check_pool();
}

void free_loan(mp_loan *loan) {
  struct record *record = record_of(loan);
  loans[record - records] = NULL;
  *record = (struct record){0};
  mp_loan_free(loan);
  check_pool();
}

void evict(void) {
  mp_pool_evict(pool);
  check_pool();
}

void pass(int64_t ns) {
  fake.now_ns += ns;
}

void make_idle(unsigned count, mp_session **out) {
  mp_loan *lent[64];
  for (unsigned i = 0; i < count; i++) {
    lent[i] = lend();
    out[i] = session_of(lent[i]);
    expect_equal(query(lent[i]), MP_DONE);
  }
  for (unsigned i = 0; i < count; i++)
    free_loan(lent[i]);
}

mp_session *make_one_idle(void) {
  mp_session *session;
  make_idle(1, &session);
  return session;
}

void expect_of_no_use(mp_loan *loan) {
  expect(mp_loan_is_held(loan));
  expect_equal(mp_loan_id(loan), 0);
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect(last.err.fatal);
  expect_equal(fetch(loan), MP_FAILED);
  expect_equal(reset(loan), MP_FAILED);
}

void wait_in_results(mp_loan **for_row, mp_loan **for_result) {
  fake.rows = 1;
  query(*for_row = lend());
  query(*for_result = lend());
  plan(ON_FETCH, waits);
  plan(ON_NEXT_RESULT, waits);
  fetch(*for_row);
  next_result(*for_result);
}

mp_session *time_out(mp_loan *loan) {
  mp_session *session = session_of(loan);
  plan(ON_QUERY, waits);
  expect_equal(query_for(loan, MP_MILLISECOND), MP_WAIT);
  pass(MP_MILLISECOND);
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  return session;
}

mp_session *make_one_recovering(void) {
  mp_loan *loan = lend();
  mp_session *session = time_out(loan);
  free_loan(loan);
  return session;
}

/* ---- facts ---- */

mp_session *session_of(const mp_loan *loan) {
  return loan->slot ? loan->slot->session : NULL;
}

mp_stats stats(void) {
  mp_stats s;
  mp_pool_stats(pool, &s);
  return s;
}

unsigned host_of(const mp_loan *loan) {
  return session_of(loan)->host;
}

mp_host about(unsigned host) {
  mp_host h;
  mp_pool_host(pool, host, &h);
  return h;
}

mp_session *probe_of(unsigned host) {
  return pool->servers[host].probe.session;
}

unsigned use_one(void) {
  mp_loan *loan = lend();
  unsigned host = host_of(loan);
  query(loan);
  free_loan(loan);
  return host;
}

mp_wait wait_of(const mp_loan *loan) {
  return record_of(loan)->wait;
}
