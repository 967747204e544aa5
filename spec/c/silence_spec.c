/* A server that says nothing: it is asked whether it is there, and cut off if it is not. */
#include "world.h"

enum { SILENCE_S = 2 };
static const int64_t silence_ns = SILENCE_S * MP_SECOND;

static void open_watched(unsigned hosts, unsigned max_size) {
  config.hosts = hosts;
  config.max_size = max_size;
  config.silence_ns = silence_ns;
  open_pool();
}

/* A loan whose statement the server does not answer. */
static mp_loan *begin_slow(void) {
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  expect_equal(query(loan), MP_WAIT);
  return loan;
}

/* As its scheduler would: when the time that it was told has come. */
static mp_status wait_out(mp_loan *loan) {
  mp_wait wait = wait_of(loan);
  if (!readable(wait.fd))
    pass(wait.until_ns - fake.now_ns);
  return step(loan);
}

/* The server is asked, and says nothing to that either. */
static mp_loan *make_silent(void) {
  mp_loan *loan = begin_slow();
  plan(ON_OPEN, waits);
  expect_equal(wait_out(loan), MP_WAIT);
  return loan;
}

/* ---- one that is there ---- */

it("asks a host that leaves a statement without an answer whether it is there, beside the work") {
  open_watched(2, 1);
  mp_loan *loan = begin_slow();
  expect_equal(last.wait.until_ns, fake.now_ns + silence_ns);
  pass(silence_ns - 1);
  step(loan);
  expect(!probe_of(0));
  plan(ON_OPEN, waits);
  expect_equal(wait_out(loan), MP_WAIT);
  expect(probe_of(0) && probe_of(0)->beside);
  expect_equal(last.wait.until_ns, fake.now_ns + silence_ns);
}

it("never cuts a statement on a host that is there, which it asks less and less often") {
  open_watched(2, 1);
  mp_loan *loan = begin_slow();
  static const int pauses[] = {2, 4, 8, 16, 30, 30, 30};
  for (int i = 0; i < 7; i++) {
    expect_equal(last.wait.until_ns, fake.now_ns + pauses[i] * MP_SECOND);
    expect_equal(wait_out(loan), MP_WAIT);
  }
  expect_equal(about(0).standing, MP_STANDING_WELL);
  answer(session_of(loan), fine);
  expect_equal(step(loan), MP_DONE);
  plan(ON_QUERY, waits);
  query(loan);
  expect_equal(last.wait.until_ns, fake.now_ns + silence_ns);
}

it("does not ask while others are answered there") {
  open_watched(2, 2);
  mp_loan *slow = begin_slow(), *quick = lend();
  for (int i = 0; i < 20; i++) {
    pass(MP_SECOND);
    plan(ON_QUERY, waits);
    query(quick);
    answer(session_of(quick), fine);
    step(quick);
    step(slow);
    expect(wait_of(slow).until_ns > fake.now_ns);
  }
  expect_equal(fake.calls[ON_OPEN], 2);
}

it("takes an error for an answer, but not that nobody listens") {
  open_watched(2, 1);
  mp_loan *loan = begin_slow();
  plan(ON_OPEN, fails(1040, MP_PHASE_CONNECT));
  wait_out(loan);
  for (int i = 0; i < 5; i++) {
    plan(ON_OPEN, fails(1040, MP_PHASE_CONNECT));
    expect_equal(wait_out(loan), MP_WAIT);
  }
  expect(!session_of(loan)->aborted);
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  wait_out(loan);
  wait_out(loan);
  expect(session_of(loan)->aborted);
}

it("gives a host its time anew where who had it asked has gone") {
  open_watched(2, 2);
  mp_loan *loan = make_silent(), *other = lend();
  free_loan(loan);
  pass(60 * MP_SECOND);
  plan(ON_QUERY, waits);
  query(other);
  expect_equal(last.wait.until_ns, fake.now_ns + silence_ns);
  expect(!session_of(other)->aborted);
}

it("watches nothing where no option says so, and one host where it does") {
  config.hosts = 2;
  open_pool();
  mp_loan *unwatched = begin_slow();
  expect_equal(last.wait.until_ns, MP_NEVER);
  free_loan(unwatched);
  drop_pool();
  open_watched(1, 1);
  mp_loan *loan = make_silent();
  wait_out(loan);
  expect_equal(wait_out(loan), MP_FAILED);
  expect(!last.err.host);
}

/* ---- one that is not ---- */

it("cuts all sessions of a host that does not answer that either, and says why") {
  open_watched(2, 4);
  mp_loan *resting = lend();
  query(resting);
  use_one();
  mp_loan *other = begin_slow(), *loan = make_silent();
  mp_session *of_resting = session_of(resting);
  expect_equal(about(0).sessions, 3);
  wait_out(loan);
  expect(readable(wait_of(loan).fd) && readable(wait_of(other).fd) && of_resting->aborted);
  expect_equal(step(other), MP_FAILED);
  expect_equal(wait_out(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect(strstr(last.err.message, "no answer from the server, nor to a new connection within 2 s"));
  expect(strcmp(last.err.host, "a:1") == 0);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  expect(strstr(about(0).last_failure, "no answer"));
  expect_equal(use_one(), 1);
}

it("leaves the sessions of other hosts alone") {
  config.balance = MP_BALANCE_SPREAD;
  open_watched(2, 2);
  mp_loan *one = begin_slow(), *other = begin_slow();
  mp_session *on_other = session_of(other);
  plan(ON_OPEN, waits);
  wait_out(one);
  wait_out(one);
  expect_equal(wait_out(one), MP_FAILED);
  expect(!on_other->aborted);
  answer(on_other, fine);
  expect_equal(step(other), MP_DONE);
}

it("closes its idle sessions, and serves who waits in line elsewhere") {
  open_watched(2, 2);
  mp_loan *loan = make_silent(), *second = begin_slow();
  mp_loan *queued = ask(60 * MP_SECOND);
  wait_out(loan);
  expect_equal(wait_out(loan), MP_FAILED);
  free_loan(loan);
  expect_equal(step(queued), MP_DONE);
  expect_equal(host_of(queued), 1);
  free_loan(second);
}

it("sends a first statement that may run twice to another host") {
  open_watched(2, 2);
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query_idempotent(loan);
  plan(ON_OPEN, waits);
  wait_out(loan);
  wait_out(loan);
  expect_equal(wait_out(loan), MP_DONE);
  expect_equal(host_of(loan), 1);
}

static void cut_first_host(void) {
  mp_loan *loan = make_silent();
  wait_out(loan);
  wait_out(loan);
  free_loan(loan);
}

it("uses a host that was silent again when it was found fit twice") {
  open_watched(2, 2);
  cut_first_host();
  answer(probe_of(0), fine);
  expect_equal(use_one(), 1);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  pass(silence_ns - 1);
  expect_equal(use_one(), 1);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  pass(1);
  use_one();
  use_one();
  expect_equal(about(0).standing, MP_STANDING_WELL);
}

it("wants two proofs in a row") {
  open_watched(2, 2);
  cut_first_host();
  answer(probe_of(0), fine);
  use_one();
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  pass(silence_ns);
  use_one();
  pass(MP_SECOND);
  use_one();
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  pass(silence_ns);
  use_one();
  expect_equal(about(0).standing, MP_STANDING_WELL);
}

it("does not take a connect from before for a proof") {
  open_watched(2, 4);
  mp_loan *loan = begin_slow();
  plan(ON_OPEN, waits);
  mp_loan *gave_up = ask(100 * MP_MILLISECOND);
  mp_session *orphan = session_of(gave_up);
  pass(100 * MP_MILLISECOND);
  expect_equal(step(gave_up), MP_FAILED);
  plan(ON_OPEN, waits);
  for (int i = 0; i < 3; i++)
    wait_out(loan);
  expect_equal(last.status, MP_FAILED);
  answer(orphan, fine);
  expect_equal(use_one(), 1);
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  expect(orphan->closed);
}

it("wants one proof, as of any other, when it is barred for another reason later") {
  open_watched(2, 2);
  cut_first_host();
  answer(probe_of(0), fine);
  use_one();
  pass(silence_ns);
  use_one();
  expect_equal(about(0).standing, MP_STANDING_WELL);
  mp_loan *loan = lend();
  while (host_of(loan) != 0) {
    free_loan(loan);
    pass(100 * MP_MILLISECOND);
    loan = lend();
  }
  plan(ON_QUERY, fails(1047, MP_PHASE_REPLY));
  query(loan);
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  pass(100 * MP_MILLISECOND);
  use_one();
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  pass(100 * MP_MILLISECOND);
  use_one();
  expect_equal(about(0).standing, MP_STANDING_WELL);
}

it("serves from it at once where there is no other") {
  open_watched(1, 2);
  cut_first_host();
  expect_equal(about(0).standing, MP_STANDING_BARRED);
  mp_loan *loan = ask_and_wait();
  wait_out(loan);
  expect_equal(last.status, MP_DONE);
}
