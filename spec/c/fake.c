#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spec.h"

#define expect_manners(condition, words)                                                                     \
  ((condition) ? (void)0 : spec_fail(__FILE__, __LINE__, "the pool must not %s", words))

enum { FIRST_WAKEUP = 100, WAKEUPS = 400, FIRST_SESSION_FD = 100000, PLANS = 256 };

const fake_answer fine = {.status = MP_DONE}, waits = {.status = MP_WAIT};
struct fake fake;

static mp_session **sessions;
static bool wakeup_taken[WAKEUPS], wakeup_notified[WAKEUPS];
static fake_answer plans[FAKE_CALLS][PLANS];
static unsigned planned[FAKE_CALLS], carried_out[FAKE_CALLS];
static uint64_t random_state;

fake_answer fails(unsigned code, mp_phase phase) {
  return (fake_answer){.status = MP_FAILED, .code = code, .phase = phase};
}

void fake_seed(uint64_t seed) {
  random_state = seed * 2 + 1;
}

uint64_t fake_random(uint64_t below) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (random_state >> 11) % below;
}

/* ---- plans ---- */

void plan(fake_call call, fake_answer answer_) {
  expect(planned[call] < PLANS);
  plans[call][planned[call]++] = answer_;
}

void plan_times(unsigned times, fake_call call, fake_answer answer_) {
  while (times-- > 0)
    plan(call, answer_);
}

static mp_phase phase_of(fake_call call) {
  static const mp_phase phases[] = {
      [ON_OPEN] = MP_PHASE_CONNECT, [ON_RESET_SEND] = MP_PHASE_RESET, [ON_RESET_READ] = MP_PHASE_RESET,
      [ON_QUERY] = MP_PHASE_REPLY,  [ON_FETCH] = MP_PHASE_RESULT,     [ON_NEXT_RESULT] = MP_PHASE_RESULT,
      [ON_PING] = MP_PHASE_REPLY,   [ON_ASK] = MP_PHASE_REPLY,        [ON_RECOVER] = MP_PHASE_RESET,
  };
  return phases[call];
}

static fake_answer mishap(fake_call call) {
  static const unsigned codes[] = {2006, 2013, 2026, 1205, 1213, 1047, 1836, 1040, 1045, 0};
  fake_answer failure = fails(codes[fake_random(sizeof codes / sizeof *codes)], phase_of(call));
  if (call == ON_QUERY && fake_random(2) == 0)
    failure = fails(2006, MP_PHASE_SEND);
  return fake_random(2) == 0 ? failure : waits;
}

static fake_answer next_answer(fake_call call, fake_answer otherwise) {
  fake.calls[call]++;
  if (carried_out[call] < planned[call])
    return plans[call][carried_out[call]++];
  if (fake.chaos > 0 && fake_random(100) < fake.chaos && call != ON_RESET_SEND)
    return mishap(call);
  return otherwise;
}

/* ---- answers ---- */

static mp_kind kind_of(fake_answer a) {
  if (a.own)
    return MP_ERR_SERVER;
  if (a.phase == MP_PHASE_CONNECT)
    return MP_ERR_CONNECT;
  if (a.code == 2006 || a.code == 2013 || a.code == 2026)
    return MP_ERR_LOST;
  return a.code == 0 || (a.code >= 2000 && a.code < 3000) ? MP_ERR_PROTOCOL : MP_ERR_SERVER;
}

/* By which the server says what its number is about. */
static const char *words_of(unsigned code) {
  if (code == 1290)
    return ": --read-only";
  return code == 1047 ? ": WSREP has not yet prepared node" : "";
}

static mp_status say(fake_answer a, mp_error *err) {
  if (a.status != MP_FAILED)
    return a.status;
  if (a.message)
    mp_fail(err, kind_of(a), a.code, "%s", a.message);
  else
    mp_fail(err, kind_of(a), a.code, "failure %u%s", a.code, words_of(a.code));
  err->phase = a.phase;
  err->executed = a.partial ? MP_EXECUTED_UNKNOWN : MP_EXECUTED_NO;
  return MP_FAILED;
}

static void finished(mp_session *session, fake_call call) {
  static char text[] = "cell", *cells[] = {text};
  static const unsigned long lengths[] = {4};
  if (call == ON_RESET_READ || call == ON_RECOVER) {
    session->replies_pending = session->replied = session->along = session->in_transaction = false;
    session->used_by = 0;
    session->rows = 0;
  } else if (call == ON_QUERY) {
    session->rows = fake.rows;
    session->recorded += session->recording;
  } else if (call == ON_FETCH && session->rows > 0) {
    session->rows--;
    *session->fetched = (mp_row){.cells = cells, .lengths = lengths, .arrived = fake.arrive};
  }
}

static mp_status after_answer(mp_session *session, fake_call call, fake_answer a, mp_error *err) {
  session->busy = a.status == MP_WAIT;
  session->doing = call;
  session->answered = false;
  if (a.status == MP_DONE)
    finished(session, call);
  if (a.status == MP_FAILED && a.phase == MP_PHASE_SEND && session->along)
    session->replies_pending = session->along = false; /* it was not sent either */
  return say(a, err);
}

void answer(mp_session *session, fake_answer a) {
  expect(session->busy);
  session->answered = true;
  session->answer = a;
  if (session->doing == ON_OPEN)
    session->open_ns = fake.now_ns - session->opened_ns;
}

void reply(mp_session *session) {
  session->replied = true;
  if (session->busy && session->doing == ON_RESET_READ)
    answer(session, fine);
}

void dies(mp_session *session) {
  session->dead = true;
  if (session->busy)
    answer(session, fails(2013, phase_of(session->doing)));
}

/* ---- the driver ---- */

static void check_usable(const mp_session *session) {
  expect_manners(!session->closed, "use a session after it closed it");
}

/* A helper has it: for the pool it is as good as not there. */
static void check_in_hand(const mp_session *session) {
  check_usable(session);
  bool helped = session->busy && (session->doing == ON_OPEN || session->doing == ON_RECOVER);
  expect_manners(!helped, "touch a session that a helper connects or recovers");
}

static void check_at_rest(const mp_session *session) {
  check_in_hand(session);
  expect_manners(!session->busy, "begin something while something else is unfinished");
}

static void fake_free(mp_driver *self) {
  fake.freed++;
  free(self);
}

static int64_t fake_now(mp_driver *self) {
  (void)self;
  return fake.now_ns;
}

static mp_session *session_new(unsigned host, bool beside, int64_t deadline_ns) {
  mp_session *session = calloc(1, sizeof *session);
  sessions = realloc(sessions, (fake.opened + 1) * sizeof *sessions);
  sessions[fake.opened++] = session;
  session->number = fake.opened;
  session->server = fake.server;
  session->host = host;
  session->writable = fake.writes[host];
  session->beside = beside;
  session->mode = fake.mode;
  session->deadline_ns = deadline_ns;
  session->opened_ns = fake.now_ns;
  return session;
}

static const char *fake_host_name(const mp_driver *self, unsigned host) {
  static const char *const names[] = {"a:1", "b:2", "c:3", "d:4"};
  (void)self;
  return names[host];
}

static mp_status fake_open(mp_driver *self, unsigned host, bool beside, int64_t deadline_ns, mp_session **out,
                           mp_error *err) {
  (void)self;
  *out = session_new(host, beside, deadline_ns);
  return after_answer(*out, ON_OPEN, next_answer(ON_OPEN, fake.by_host[host]), err);
}

static int64_t fake_connect_ns(const mp_session *session) {
  bool goes_on = session->busy && session->doing == ON_OPEN;
  return goes_on ? fake.now_ns - session->opened_ns : session->open_ns;
}

static mp_status fake_step(mp_session *session, mp_error *err) {
  check_usable(session);
  session->woken = false;
  expect_manners(session->busy, "step where nothing was begun");
  return session->answered ? after_answer(session, session->doing, session->answer, err) : MP_WAIT;
}

static mp_liveness fake_peek(mp_session *session) {
  check_in_hand(session);
  if (session->dead || session->aborted)
    return MP_DEAD;
  session->dead = session->looks_left > 0 && --session->looks_left == 0;
  return session->replies_pending && session->replied ? MP_READY : MP_QUIET;
}

static bool fake_needs_peek(const mp_session *session) {
  (void)session;
  return true;
}

static bool fake_has_row(const mp_session *session) {
  return session->rows > 0;
}

static bool fake_at_rest(const mp_session *session) {
  check_in_hand(session);
  return !session->busy && session->rows == 0 && !session->replies_pending;
}

static bool fake_being_reset(const mp_session *session) {
  check_in_hand(session);
  return !session->busy && session->rows == 0 && session->replies_pending && !session->in_transaction;
}

/* What was sent with the last statement is the pool's from the release on. */
static mp_status fake_reset_send(mp_session *session, mp_error *err) {
  check_at_rest(session);
  if (session->along) {
    session->along = false;
    return MP_DONE;
  }
  expect_manners(!session->replies_pending && session->rows == 0, "reset a session that is not at rest");
  fake_answer a = next_answer(ON_RESET_SEND, fine);
  session->resets++;
  session->replies_pending = a.status != MP_FAILED;
  session->replied = !fake.slow_resets;
  return say(a, err);
}

static mp_status fake_reset_read(mp_session *session, mp_error *err) {
  check_at_rest(session);
  expect_manners(session->replies_pending && !session->along, "read replies where none are pending");
  fake_answer usual = session->replied ? fine : waits;
  return after_answer(session, ON_RESET_READ, next_answer(ON_RESET_READ, usual), err);
}

static void check_clean(const mp_session *session) {
  check_at_rest(session);
  expect_manners(!session->replies_pending || session->along, "use a session before its reset was read");
  bool clean = session->used_by == 0 || session->used_by == fake.user || fake.unclean_allowed;
  expect_manners(clean, "lend a session that another loan used, without a reset");
  bool made = !session->recording || session->maker == fake.user;
  expect_manners(made, "lend a session whose baseline is half made");
}

static void send_reset_along(mp_session *session) {
  expect_manners(!session->recording, "reset a session whose baseline is half made");
  session->resets_along++;
  session->replies_pending = session->along = true;
  session->replied = !fake.slow_resets;
}

static mp_status fake_query(mp_session *session, const char *sql, size_t length, bool last, mp_error *err) {
  check_clean(session);
  expect_manners(strlen(sql) == length, "change the statement");
  if (session->rows > 0 || session->replies_pending)
    return say(fails(2014, MP_PHASE_SEND), err);
  session->queries++;
  session->used_by = fake.user;
  if (last)
    send_reset_along(session);
  fake_answer usual = session->dead || session->aborted ? fails(2006, MP_PHASE_SEND) : fine;
  return after_answer(session, ON_QUERY, next_answer(ON_QUERY, usual), err);
}

static mp_status fake_fetch(mp_session *session, mp_row *row, mp_error *err) {
  check_at_rest(session);
  *row = (mp_row){0};
  session->fetched = row;
  return after_answer(session, ON_FETCH, next_answer(ON_FETCH, fine), err);
}

static mp_status fake_next_result(mp_session *session, bool *more, mp_error *err) {
  check_at_rest(session);
  *more = false;
  return after_answer(session, ON_NEXT_RESULT, next_answer(ON_NEXT_RESULT, fine), err);
}

static mp_status fake_ping(mp_session *session, mp_error *err) {
  check_at_rest(session);
  expect_manners(!session->replies_pending, "ping behind replies that are pending");
  expect_manners(session->rows == 0, "ping in the middle of a result");
  session->pings++;
  fake_answer usual = session->dead || session->aborted ? fails(2013, MP_PHASE_REPLY) : fine;
  return after_answer(session, ON_PING, next_answer(ON_PING, usual), err);
}

static mp_status fake_ask(mp_session *session, mp_error *err) {
  check_clean(session);
  expect_manners(!session->replies_pending, "ask behind replies that are pending");
  session->asked++;
  session->used_by = fake.user;
  fake_answer usual = session->dead || session->aborted ? fails(2006, MP_PHASE_SEND) : fine;
  return after_answer(session, ON_ASK, next_answer(ON_ASK, usual), err);
}

static void fake_record(mp_session *session, bool on) {
  check_at_rest(session);
  expect_manners(session->recording != on, "begin or end a recording twice");
  session->recording = on;
  session->maker = fake.user;
  if (!on)
    session->used_by = 0; /* what was run is what the next borrower is to find */
}

/* One that cannot even begin leaves the statement in progress. */
static mp_status fake_recover(mp_session *session, mp_error *err) {
  check_in_hand(session);
  expect_manners(session->busy || session->rows > 0, "recover a session that has nothing in progress");
  session->answered = false; /* an answer that nobody has looked at is part of what it reads */
  fake_answer a = next_answer(ON_RECOVER, waits);
  session->recoveries++;
  return a.status == MP_FAILED ? say(a, err) : after_answer(session, ON_RECOVER, a, err);
}

static void fake_abort(mp_session *session) {
  check_in_hand(session);
  session->aborted = true;
  if (session->busy)
    answer(session, fails(2013, phase_of(session->doing)));
}

static void fake_close(mp_session *session) {
  check_usable(session);
  session->closed = true;
  fake.closed++;
}

static int fake_wait_fd(mp_session *session) {
  check_usable(session);
  return FIRST_SESSION_FD + (int)session->number;
}

static void fake_wake(mp_session *session) {
  check_usable(session);
  bool helped = session->busy && (session->doing == ON_OPEN || session->doing == ON_RECOVER);
  expect_manners(helped, "wake what nobody waits for");
  session->woken = true;
}

/* ---- wake-ups ---- */

static int fake_wakeup_take(mp_driver *self) {
  (void)self;
  int wakeup = 0;
  if (fake.no_wakeups)
    return -1;
  while (wakeup_taken[wakeup])
    wakeup++;
  expect(wakeup < WAKEUPS - 1);
  wakeup_taken[wakeup] = true;
  fake.wakeups++;
  return FIRST_WAKEUP + wakeup;
}

static void check_taken(int fd) {
  expect_manners(fd >= FIRST_WAKEUP && fd < FIRST_WAKEUP + WAKEUPS && wakeup_taken[fd - FIRST_WAKEUP],
                 "use a wake-up that it has not");
}

static void fake_wakeup_notify(mp_driver *self, int fd) {
  (void)self;
  check_taken(fd);
  wakeup_notified[fd - FIRST_WAKEUP] = true;
}

static void fake_wakeup_clear(mp_driver *self, int fd) {
  (void)self;
  check_taken(fd);
  wakeup_notified[fd - FIRST_WAKEUP] = false;
}

static void fake_wakeup_give(mp_driver *self, int fd) {
  fake_wakeup_clear(self, fd);
  wakeup_taken[fd - FIRST_WAKEUP] = false;
  fake.wakeups--;
}

bool is_notified(int fd) {
  return fd >= FIRST_WAKEUP && fd < FIRST_WAKEUP + WAKEUPS && wakeup_notified[fd - FIRST_WAKEUP];
}

bool readable(int fd) {
  if (fd < FIRST_SESSION_FD)
    return is_notified(fd);
  const mp_session *session = session_number((unsigned)(fd - FIRST_SESSION_FD));
  return session->answered || session->dead || session->aborted || session->woken;
}

/* ---- facts ---- */

static uint64_t fake_id(const mp_session *session) {
  check_in_hand(session);
  return 1000 + session->number;
}

static bool fake_in_transaction(const mp_session *session) {
  check_in_hand(session);
  return session->in_transaction;
}

static uint64_t fake_server(const mp_session *session) {
  return session->server;
}

static bool fake_read_only(const mp_session *session) {
  (void)session;
  return fake.read_only;
}

static bool fake_is_writable(const mp_session *session) {
  check_in_hand(session);
  return session->writable;
}

static int64_t fake_idle_limit(const mp_session *session) {
  check_in_hand(session);
  return fake.idle_limit_ns;
}

static mp_sql_mode fake_sql_mode(const mp_session *session) {
  check_in_hand(session);
  return session->mode;
}

static void fake_summary(const mp_session *session, mp_summary *summary) {
  check_in_hand(session);
  *summary = (mp_summary){.columns = 1, .insert_id = session->number};
}

static mp_column fake_column(const mp_session *session, unsigned index) {
  check_in_hand(session);
  return (mp_column){.name = index == 0 ? "first" : "later"};
}

static void fake_close_spare(mp_driver *self) {
  unsigned freed = fake.freed;
  (void)self;
  fake.spare_closed++;
  if (fake.closing_spare)
    fake.closing_spare();
  expect_equal(fake.freed, freed);
}

mp_driver *fake_driver(void) {
  mp_driver *driver = malloc(sizeof *driver);
  *driver = (mp_driver){
      .free = fake_free,
      .close_spare = fake_close_spare,
      .now_ns = fake_now,
      .host_name = fake_host_name,
      .open = fake_open,
      .connect_ns = fake_connect_ns,
      .step = fake_step,
      .peek = fake_peek,
      .needs_peek = fake_needs_peek,
      .is_at_rest = fake_at_rest,
      .is_being_reset = fake_being_reset,
      .has_row = fake_has_row,
      .reset_send = fake_reset_send,
      .reset_read = fake_reset_read,
      .query = fake_query,
      .fetch = fake_fetch,
      .next_result = fake_next_result,
      .ping = fake_ping,
      .ask = fake_ask,
      .record = fake_record,
      .recover = fake_recover,
      .abort = fake_abort,
      .close = fake_close,
      .wait_fd = fake_wait_fd,
      .wake = fake_wake,
      .wakeup_take = fake_wakeup_take,
      .wakeup_notify = fake_wakeup_notify,
      .wakeup_clear = fake_wakeup_clear,
      .wakeup_give = fake_wakeup_give,
      .id = fake_id,
      .is_in_transaction = fake_in_transaction,
      .server = fake_server,
      .is_read_only = fake_read_only,
      .is_writable = fake_is_writable,
      .idle_limit_ns = fake_idle_limit,
      .sql_mode = fake_sql_mode,
      .summary = fake_summary,
      .column = fake_column,
  };
  return driver;
}

mp_session *session_number(unsigned number) {
  expect(number >= 1 && number <= fake.opened);
  return sessions[number - 1];
}

void fake_begin(void) {
  fake_end();
  fake = (struct fake){
      .now_ns = 1000 * MP_SECOND, .idle_limit_ns = MP_NEVER, .mode = {.reading.no_backslash_escapes = true}};
  memset(wakeup_taken, 0, sizeof wakeup_taken);
  memset(wakeup_notified, 0, sizeof wakeup_notified);
  memset(planned, 0, sizeof planned);
  memset(carried_out, 0, sizeof carried_out);
}

void fake_end(void) {
  for (unsigned i = 0; i < fake.opened; i++)
    free(sessions[i]);
  free(sessions);
  sessions = NULL;
  fake.opened = 0;
}
