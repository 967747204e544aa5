/* The retry table: what a failure proves, and what becomes of the session. */
#include <string.h>

#include "world.h"

typedef enum session_fate { KEPT, RETIRED, LOST } session_fate;

typedef struct rule {
  unsigned code;
  mp_kind kind;
  mp_executed executed;
  bool retryable;
  session_fate fate;
} rule;

static void check_fate(mp_loan *loan, session_fate fate) {
  expect_equal(last.err.fatal, fate == LOST);
  expect_equal(mp_loan_id(loan) == 0, fate == LOST);
  expect_equal(query(loan), fate == LOST ? MP_FAILED : MP_DONE);
  expect_equal(last.err.kind, fate == LOST ? MP_ERR_LOST : MP_ERR_NONE);
  release(loan);
  expect_equal(stats().discarded, fate != KEPT);
  expect_equal(stats().idle, fate == KEPT);
}

/* As the second statement of a loan, of which nothing is retried. */
static void check_rule(const rule *r, mp_phase phase) {
  spec_note("errno %u", r->code);
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_QUERY, fails(r->code, phase));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, r->kind);
  expect_equal(last.err.code, r->code);
  expect_equal(last.err.executed, r->executed);
  expect_equal(last.err.retryable, r->retryable);
  expect_equal(stats().retries, 0);
  check_fate(loan, r->fate);
  free_loan(loan);
  drop_pool();
}

#define CHECK_RULES(rules, phase)                                                                            \
  for (size_t i = 0; i < sizeof(rules) / sizeof *(rules); i++)                                               \
  check_rule(&(rules)[i], phase)

it("knows the errors that undo the transaction: did not run, retryable, session kept") {
  static const rule rules[] = {{1213, MP_ERR_SERVER, MP_EXECUTED_NO, true, KEPT},
                               {1020, MP_ERR_SERVER, MP_EXECUTED_NO, true, KEPT}};
  CHECK_RULES(rules, MP_PHASE_REPLY);
  CHECK_RULES(rules, MP_PHASE_RESULT);
}

it("has a transaction run anew after a deadlock, and on another server after one that may not write") {
  static const unsigned here[] = {1020, 1205, 1213}, elsewhere[] = {1047, 1290, 1792, 1836};
  static const unsigned never[] = {0, 1040, 1053, 1062, 1317, 1927, 1969, 2006, 2013, 3024, 4031};
  for (size_t i = 0; i < sizeof here / sizeof *here; i++)
    expect(mp_transaction_may_run_again(here[i], false) && mp_transaction_may_run_again(here[i], true));
  for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
    expect(!mp_transaction_may_run_again(elsewhere[i], false) &&
           mp_transaction_may_run_again(elsewhere[i], true));
  for (size_t i = 0; i < sizeof never / sizeof *never; i++)
    expect(!mp_transaction_may_run_again(never[i], false) && !mp_transaction_may_run_again(never[i], true));
}

it("knows the errors that undo one statement: did not run, session kept") {
  static const rule rules[] = {{1205, MP_ERR_SERVER, MP_EXECUTED_NO, true, KEPT},
                               {1317, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT},
                               {1969, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT},
                               {3024, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT}};
  CHECK_RULES(rules, MP_PHASE_REPLY);
}

it("retires sessions of a server that cannot write or left its cluster") {
  static const rule rules[] = {{1290, MP_ERR_SERVER, MP_EXECUTED_NO, true, RETIRED},
                               {1792, MP_ERR_SERVER, MP_EXECUTED_NO, true, RETIRED},
                               {1836, MP_ERR_SERVER, MP_EXECUTED_NO, true, RETIRED},
                               {1047, MP_ERR_SERVER, MP_EXECUTED_NO, true, RETIRED}};
  fake.read_only = true;
  CHECK_RULES(rules, MP_PHASE_REPLY);
}

it("keeps the session when 1792 tells of a transaction that the program wanted to be read-only") {
  static const rule rules[] = {{1792, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT}};
  CHECK_RULES(rules, MP_PHASE_REPLY);
}

it("keeps the session when 1047 tells of an unknown command") {
  fake_answer unknown = fails(1047, MP_PHASE_REPLY);
  unknown.message = "Unknown command";
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_QUERY, unknown);
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.retryable, false);
  check_fate(loan, KEPT);
}

it("keeps the session when 1290 tells of another option than --read-only") {
  fake_answer other = fails(1290, MP_PHASE_REPLY);
  other.message = "running with the --secure-file-priv option";
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_QUERY, other);
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.retryable, false);
  check_fate(loan, KEPT);
}

it("leaves the session to the caller after any other error of the server") {
  static const rule rules[] = {
      {1064, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT}, {1062, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT},
      {1146, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT}, {3819, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT},
      {6000, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT}, {31999, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT},
      {4025, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT}};
  CHECK_RULES(rules, MP_PHASE_REPLY);
}

it("does not know whether a statement ran of which a part may stay, whatever the server says of it") {
  static const unsigned codes[] = {1213, 1020, 1205, 1317, 1969, 3024, 1064, 1146, 1644, 4031};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    spec_note("errno %u", codes[i]);
    open_pool();
    mp_loan *loan = lend();
    query(loan);
    fake_answer half_way = fails(codes[i], MP_PHASE_REPLY);
    half_way.partial = true;
    plan(ON_QUERY, half_way);
    expect_equal(query(loan), MP_FAILED);
    expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
    expect(!last.err.retryable);
    free_loan(loan);
    drop_pool();
  }
}

it("keeps the session of a statement that was refused because its transaction had ended") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_QUERY, (fake_answer){.status = MP_FAILED, .phase = MP_PHASE_SEND, .own = true});
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_SERVER);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(!last.err.retryable);
  check_fate(loan, KEPT);
}

it("takes the server's farewells for a lost session and an unknown outcome") {
  static const unsigned codes[] = {1053, 1156, 1157, 1158, 1159, 1160, 1161, 1180, 1927};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    const rule r = {codes[i], MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, LOST};
    check_rule(&r, MP_PHASE_REPLY);
  }
}

it("knows that a session which the server closed for inactivity ran nothing") {
  static const rule rules[] = {{4031, MP_ERR_LOST, MP_EXECUTED_NO, true, LOST}};
  CHECK_RULES(rules, MP_PHASE_REPLY);
}

it("does not know whether a statement ran whose reply was lost, 2006 included") {
  static const rule rules[] = {{2006, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2013, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2026, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, LOST}};
  CHECK_RULES(rules, MP_PHASE_REPLY);
  CHECK_RULES(rules, MP_PHASE_RESULT);
}

it("gives up sessions that are out of step, whatever they ran") {
  static const rule rules[] = {{0, MP_ERR_PROTOCOL, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2000, MP_ERR_PROTOCOL, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2008, MP_ERR_PROTOCOL, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2014, MP_ERR_PROTOCOL, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2027, MP_ERR_PROTOCOL, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2057, MP_ERR_PROTOCOL, MP_EXECUTED_UNKNOWN, false, LOST},
                               {5014, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, LOST}};
  CHECK_RULES(rules, MP_PHASE_REPLY);
}

it("knows that a send which failed with 2006 ran nothing") {
  static const rule rules[] = {{2006, MP_ERR_LOST, MP_EXECUTED_NO, true, LOST}};
  CHECK_RULES(rules, MP_PHASE_SEND);
}

it("takes no other failure of a send for proof") {
  static const rule rules[] = {{2013, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2026, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, LOST},
                               {2008, MP_ERR_PROTOCOL, MP_EXECUTED_UNKNOWN, false, LOST}};
  CHECK_RULES(rules, MP_PHASE_SEND);
}

it("knows that a statement refused by our own side did not run") {
  static const rule rules[] = {{1153, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT},
                               {1213, MP_ERR_SERVER, MP_EXECUTED_NO, false, KEPT},
                               {2014, MP_ERR_PROTOCOL, MP_EXECUTED_NO, false, KEPT}};
  CHECK_RULES(rules, MP_PHASE_SEND);
}

it("fails at once when a connect is refused for good") {
  static const unsigned codes[] = {1045, 1044, 1049, 1130, 1129, 1698, 1820, 1862,
                                   4151, 2007, 2019, 2026, 2049, 2059, 5010, 0};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    spec_note("errno %u", codes[i]);
    open_pool();
    plan(ON_OPEN, fails(codes[i], MP_PHASE_CONNECT));
    mp_loan *loan = ask(5 * MP_SECOND);
    expect_equal(last.status, MP_FAILED);
    expect_equal(last.err.kind, MP_ERR_CONNECT);
    expect_equal(last.err.code, codes[i]);
    expect_equal(last.err.executed, MP_EXECUTED_NO);
    expect(!last.err.retryable);
    free_loan(loan);
    drop_pool();
  }
}

it("tries again when a connect failed in a way that passes") {
  static const unsigned codes[] = {2002, 2003, 2005, 2006, 2013, 1040, 1041, 1047,
                                   1053, 1135, 1203, 1205, 1213, 1226, 1927};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    spec_note("errno %u", codes[i]);
    open_pool();
    plan(ON_OPEN, fails(codes[i], MP_PHASE_CONNECT));
    mp_loan *loan = ask_and_wait();
    pass(MP_SECOND);
    expect_equal(step(loan), MP_DONE);
    free_loan(loan);
    drop_pool();
  }
}

/* ---- the retry of a first statement ---- */

it("retries a first statement whose send failed with 2006, under the same loan, unseen") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_DONE);
  expect(session_of(loan) == s[0]);
  expect(s[1]->closed);
  expect_equal(stats().retries, 1);
  expect_equal(stats().checkouts, 3);
}

it("does not even send a first statement to a session that died since the checkout") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  expect_equal(query(loan), MP_DONE);
  expect_equal(session_number(1)->queries, 0);
  expect_equal(fake.opened, 2);
}

it("closes the other dead sessions before it retries a first statement") {
  mp_session *s[4];
  config.max_size = 4;
  open_pool();
  make_idle(4, s);
  mp_loan *loan = lend();
  dies(s[3]);
  dies(s[0]);
  expect_equal(query(loan), MP_DONE);
  expect(session_of(loan) == s[2]);
  expect(s[0]->closed && !s[1]->closed);
  expect_equal(stats().retries, 1);
}

it("tries `retries` further sessions, then one brand-new one, then says so") {
  mp_session *s[5];
  config.max_size = 5;
  open_pool();
  make_idle(5, s);
  mp_loan *loan = lend();
  plan_times(5, ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.code, 2006);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.retryable && last.err.fatal);
  expect_equal(fake.calls[ON_QUERY], 5 + 4);
  expect_equal(stats().retries, 3);
  expect_equal(fake.opened, 6);
  expect_equal(session_number(6)->queries, 1);
}

it("succeeds on the brand-new session after `retries` stale ones") {
  mp_session *s[5];
  config.max_size = 5;
  open_pool();
  make_idle(5, s);
  mp_loan *loan = lend();
  plan_times(3, ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_DONE);
  expect(session_of(loan) == session_number(6));
  expect_equal(stats().idle, 2);
}

it("returns the loss of a later statement: the session's state is gone") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  dies(session_number(1));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect_equal(fake.opened, 1);
}

it("takes a first statement that failed for one that may have left something behind") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(1064, MP_PHASE_REPLY));
  query(loan);
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(stats().retries, 0);
}

it("never retries a first statement whose reply was lost") {
  static const unsigned codes[] = {2013, 2026, 2006, 1053, 1927, 0};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    spec_note("errno %u", codes[i]);
    open_pool();
    mp_loan *loan = lend();
    plan(ON_QUERY, fails(codes[i], MP_PHASE_REPLY));
    expect_equal(query(loan), MP_FAILED);
    expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
    expect_equal(stats().retries, 0);
    free_loan(loan);
    drop_pool();
  }
}

it("never retries what a deadlock undid") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(1213, MP_PHASE_REPLY));
  expect_equal(query_idempotent(loan), MP_FAILED);
  expect_equal(fake.calls[ON_QUERY], 1);
}

it("retries a first statement whose reply was lost if the caller declared it harmless") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2013, MP_PHASE_REPLY));
  expect_equal(query_idempotent(loan), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("does not retry a harmless statement in the middle of a loan") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_QUERY, fails(2013, MP_PHASE_REPLY));
  expect_equal(query_idempotent(loan), MP_FAILED);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
}

it("does not retry a harmless statement when rows were already read") {
  open_pool();
  fake.rows = 2;
  mp_loan *loan = lend();
  query_idempotent(loan);
  plan(ON_FETCH, fails(2013, MP_PHASE_RESULT));
  expect_equal(fetch(loan), MP_FAILED);
  expect(last.err.fatal);
  expect_equal(stats().retries, 0);
}

it("remembers that a harmless statement may have run when its retry finds no session") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2013, MP_PHASE_REPLY));
  plan(ON_OPEN, fails(1045, MP_PHASE_CONNECT));
  expect_equal(query_idempotent(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect(!last.err.retryable);
}

it("forgets what an earlier statement may have done when the next begins") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2013, MP_PHASE_REPLY));
  expect_equal(query_idempotent(loan), MP_DONE);
  plan(ON_QUERY, fails(1064, MP_PHASE_REPLY));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
}

it("says that the loan's session is gone when a retry finds no other") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  plan(ON_OPEN, fails(1045, MP_PHASE_CONNECT));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.fatal);
  expect(mp_loan_is_held(loan));
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  release(loan);
  expect_equal(stats().size, 0);
}

it("waits for the new session of a retry like any operation") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  plan(ON_OPEN, waits);
  plan(ON_QUERY, waits);
  expect_equal(query(loan), MP_WAIT);
  expect(is_busy(loan));
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_WAIT);
  answer(session_number(2), fine);
  expect_equal(step(loan), MP_DONE);
  expect_equal(session_number(2)->queries, 1);
}

it("retries after an answer that came later as well as after one at once") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  expect_equal(query(loan), MP_WAIT);
  answer(session_number(1), fails(2006, MP_PHASE_SEND));
  expect_equal(step(loan), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("gives its slot back when a loan is released in the middle of a retry") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  plan(ON_OPEN, waits);
  query(loan);
  release(loan);
  expect(!mp_loan_is_held(loan));
  expect_equal(stats().opening, 1);
  answer(session_number(2), fine);
  expect(session_of(lend()) == session_number(2));
}

it("gives up a session in the middle of a retry without harm") {
  open_pool();
  mp_loan *loan = lend();
  dies(session_number(1));
  plan(ON_OPEN, waits);
  query(loan);
  lose(loan);
  expect(mp_loan_is_held(loan) && !is_busy(loan));
  expect_equal(query(loan), MP_FAILED);
  expect(last.err.fatal);
}

it("retries nothing with retries = 0: not the statement, not the checkout, not the connect") {
  config.retries = 0;
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_FAILED);
  free_loan(loan);

  mp_session *s = make_one_idle();
  plan(ON_RESET_READ, fails(1047, MP_PHASE_RESET));
  free_loan(ask(5 * MP_SECOND));
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect(last.err.retryable);
  expect(s->closed);

  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  ask(5 * MP_SECOND);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CONNECT);
  expect_equal(stats().retries, 0);
}

it("hands the slot of a checkout that may not retry to the next waiter") {
  config.retries = 0;
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend(), *a = ask_and_wait(), *b = ask_and_wait();
  release(holder);
  dies(session_number(1));
  expect_equal(step(a), MP_FAILED);
  expect_equal(step(b), MP_DONE);
}

it("takes another idle session when the reset of one failed") {
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  make_idle(3, s);
  plan(ON_RESET_READ, fails(1047, MP_PHASE_RESET));
  expect(session_of(lend()) == s[1]);
  expect(s[2]->closed);
  expect_equal(stats().retries, 1);
}

it("opens a session after `retries` idle ones whose resets failed") {
  mp_session *s[5];
  config.max_size = 5;
  open_pool();
  make_idle(5, s);
  plan_times(5, ON_RESET_READ, fails(1047, MP_PHASE_RESET));
  expect(session_of(lend()) == session_number(6));
  expect_equal(stats().retries, 3);
  expect_equal(stats().idle, 2);
}

it("takes an idle session after all when none can be opened") {
  mp_session *s[5];
  config.max_size = 5;
  open_pool();
  make_idle(5, s);
  plan_times(3, ON_RESET_READ, fails(1047, MP_PHASE_RESET));
  plan(ON_OPEN, fails(1040, MP_PHASE_CONNECT));
  mp_loan *loan = ask_and_wait();
  expect(readable(last.wait.fd));
  expect_equal(step(loan), MP_DONE);
  expect(session_of(loan) == s[1]);
}

/* ---- ping ---- */

it("retries a ping like a first statement: a probe never fails for a stale session") {
  mp_session *s[2];
  open_pool();
  make_idle(2, s);
  mp_loan *loan = lend();
  plan(ON_PING, fails(2013, MP_PHASE_REPLY));
  expect_equal(ping(loan), MP_DONE);
  expect(session_of(loan) == s[0]);
}

it("does not take a ping for a statement: the first that follows may still be retried") {
  open_pool();
  mp_loan *loan = lend();
  ping(loan);
  plan(ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("does not retry a ping in the middle of a loan, and says that it did nothing") {
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  plan(ON_PING, fails(2013, MP_PHASE_REPLY));
  expect_equal(ping(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.fatal);
}

it("allows a first statement its retries, however many sessions its checkout tried") {
  mp_session *s[3];
  config.max_size = 3;
  open_pool();
  make_idle(3, s);
  plan_times(3, ON_RESET_READ, fails(1047, MP_PHASE_RESET));
  mp_loan *loan = lend();
  plan_times(3, ON_QUERY, fails(2006, MP_PHASE_SEND));
  expect_equal(query(loan), MP_DONE);
  expect_equal(stats().retries, 6);
}

it("does not retry a harmless statement whose first result was lost half-way") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(2013, MP_PHASE_RESULT));
  expect_equal(query_idempotent(loan), MP_FAILED);
  expect_equal(fake.calls[ON_QUERY], 1);
}
