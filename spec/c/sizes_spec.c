/* How many sessions there are, and who has them. */
#include <string.h>

#include "world.h"

it("does no I/O before the first checkout") {
  open_pool();
  new_loan();
  expect_equal(fake.opened, 0);
  expect_equal(stats().size, 0);
}

it("opens a session only when no idle one is left") {
  open_pool();
  release(lend());
  mp_loan *first = lend();
  expect_equal(fake.opened, 1);
  lend();
  expect_equal(fake.opened, 2);
  expect(session_of(first) == session_number(1));
}

it("never has more than max_size sessions") {
  config.max_size = 3;
  open_pool();
  for (int i = 0; i < 3; i++)
    lend();
  for (int i = 0; i < 5; i++)
    ask_and_wait();
  expect_equal(stats().size, 3);
  expect_equal(fake.opened, 3);
  expect_equal(stats().waiting, 5);
}

it("counts a session that is being connected against max_size") {
  config.max_size = 1;
  open_pool();
  plan(ON_OPEN, waits);
  ask_and_wait();
  ask_and_wait();
  expect_equal(stats().opening, 1);
  expect_equal(stats().waiting, 1);
  expect_equal(fake.opened, 1);
}

it("connects for several loans at a time") {
  open_pool();
  plan_times(2, ON_OPEN, waits);
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  expect_equal(stats().opening, 2);
  answer(session_number(2), fine);
  expect_equal(step(b), MP_DONE);
  answer(session_number(1), fine);
  expect_equal(step(a), MP_DONE);
  expect_equal(stats().lent, 2);
}

it("tells open until when the checkout is willing to wait") {
  open_pool();
  ask(3 * MP_SECOND);
  expect_equal(session_number(1)->deadline_ns, fake.now_ns + 3 * MP_SECOND);
}

it("waits on the session's own descriptor while connecting, and finishes when it is readable") {
  open_pool();
  plan(ON_OPEN, waits);
  mp_loan *loan = ask_and_wait();
  expect(!readable(last.wait.fd));
  expect_equal(step(loan), MP_WAIT);
  answer(session_number(1), fine);
  expect(readable(last.wait.fd));
  expect_equal(step(loan), MP_DONE);
}

it("in a blocking program fails at once when every session is lent") {
  config.may_queue = false;
  config.max_size = 1;
  open_pool();
  lend();
  ask(5 * MP_SECOND);
  expect_equal(last.status, MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_EXHAUSTED);
  expect_equal(last.err.executed, MP_EXECUTED_NO);
  expect(last.err.retryable);
  expect_equal(fake.wakeups, 0);
}

it("lets a blocking program check out again with the same loan after a failure") {
  config.may_queue = false;
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend(), *loan = ask(5 * MP_SECOND);
  expect_equal(last.status, MP_FAILED);
  expect(!mp_loan_is_held(loan));
  release(holder);
  expect_equal(checkout(loan, 5 * MP_SECOND), MP_DONE);
}

it("names the oldest holders and since when in the error of an exhausted pool") {
  config.may_queue = false;
  config.max_size = 4;
  open_pool();
  for (int i = 0; i < 4; i++) {
    lend();
    pass(MP_SECOND);
  }
  ask(0);
  expect_text(last.err.message, "pool exhausted, 4 of 4 connections are lent: "
                                "loan 1 for 4.0 s, loan 2 for 3.0 s, loan 3 for 2.0 s");
}

it("names holders that came at the same instant once each") {
  config.may_queue = false;
  open_pool();
  lend();
  lend();
  ask(0);
  expect(strstr(last.err.message, "loan 1 for 0.0 s"));
  expect(strstr(last.err.message, "loan 2 for 0.0 s"));
}

it("calls a holder without a label unnamed, and cuts long labels") {
  char label[200];
  config.may_queue = false;
  open_pool();
  memset(label, 'x', sizeof label - 1);
  label[sizeof label - 1] = '\0';
  mp_loan *a = new_loan(), *b = new_loan();
  expect_equal(mp_loan_checkout(a, 0, NULL, &last.wait, &last.err), MP_DONE);
  pass(MP_SECOND);
  expect_equal(mp_loan_checkout(b, 0, label, &last.wait, &last.err), MP_DONE);
  ask(0);
  expect(strstr(last.err.message, "unnamed for 1.0 s, xxx"));
  expect(strlen(last.err.message) < 200);
}

it("gives the slot of a discarded session to a new one") {
  config.max_size = 1;
  open_pool();
  discard(lend());
  expect(session_number(1)->closed);
  lend();
  expect_equal(fake.opened, 2);
}

it("is quiet about a second release, and about a discard after it") {
  open_pool();
  mp_loan *loan = lend();
  release(loan);
  release(loan);
  discard(loan);
  expect_equal(stats().idle, 1);
  expect_equal(stats().discarded, 0);
}

it("leaves a released loan released when it is given up again") {
  open_pool();
  mp_loan *loan = lend();
  release(loan);
  lose(loan);
  expect(!mp_loan_is_held(loan));
  expect_equal(stats().idle, 1);
}

it("leaves a loan that was never checked out as it is when it is given up") {
  open_pool();
  mp_loan *loan = new_loan();
  lose(loan);
  expect(!mp_loan_is_held(loan));
  expect_equal(checkout(loan, 0), MP_DONE);
}

it("takes the session back from a loan that is freed") {
  open_pool();
  mp_loan *loan = lend();
  free_loan(loan);
  expect_equal(stats().idle, 1);
  expect_equal(stats().lent, 0);
}

it("closes the session of a loan that is freed in the middle of a statement") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  expect_equal(query(loan), MP_WAIT);
  free_loan(loan);
  expect(session_number(1)->closed);
  expect_equal(stats().discarded, 1);
}

it("closes a session that comes back with an unread result") {
  open_pool();
  fake.rows = 2;
  mp_loan *loan = lend();
  query(loan);
  fetch(loan);
  release(loan);
  expect(session_number(1)->closed);
  expect_equal(stats().discarded, 1);
}

it("takes a session back whose result was read to the end") {
  open_pool();
  fake.rows = 1;
  mp_loan *loan = lend();
  query(loan);
  expect_equal(fetch(loan), MP_DONE);
  expect(last.row.cells);
  expect_equal(fetch(loan), MP_DONE);
  expect(!last.row.cells);
  expect_equal(next_result(loan), MP_DONE);
  release(loan);
  expect_equal(stats().idle, 1);
}

it("gives a session up when something is begun while something else is unfinished") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query(loan);
  expect_equal(query(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_LOST);
  expect(last.err.fatal);
  expect(session_number(1)->aborted);
  release(loan);
  expect(session_number(1)->closed);
}

it("gives a session up when rows are asked for while the statement is unfinished") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query(loan);
  expect_equal(fetch(loan), MP_FAILED);
  expect(last.err.fatal);
  expect(session_number(1)->aborted);
}

it("gives a session up when results, or another row, are asked for in the middle of a row") {
  mp_status (*const all[])(mp_loan *) = {next_result, fetch};
  fake.rows = 1;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    open_pool();
    mp_loan *loan = lend();
    query(loan);
    plan(ON_FETCH, waits);
    expect_equal(fetch(loan), MP_WAIT);
    expect_equal(all[i](loan), MP_FAILED);
    expect(last.err.fatal);
    free_loan(loan);
    drop_pool();
  }
}

it("tells a loan's session only while the loan has it") {
  open_pool();
  mp_loan *loan = new_loan();
  expect_equal(mp_loan_id(loan), 0);
  expect(!mp_loan_is_held(loan));
  checkout(loan, 0);
  session_of(loan)->in_transaction = true;
  expect_equal(mp_loan_id(loan), 1001);
  expect(mp_loan_is_held(loan) && mp_loan_is_in_transaction(loan));
  expect(mp_loan_sql_mode(loan).reading.no_backslash_escapes && !mp_loan_sql_mode(loan).utf8);
  release(loan);
  expect_equal(mp_loan_id(loan), 0);
  expect(!mp_loan_is_held(loan) && !mp_loan_is_in_transaction(loan));
  expect(!mp_loan_sql_mode(loan).reading.no_backslash_escapes && mp_loan_sql_mode(loan).utf8);
}

it("passes on what the session says of its result") {
  mp_summary summary;
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  mp_loan_summary(loan, &summary);
  expect_equal(summary.insert_id, 1);
  expect_text(mp_loan_column(loan, 0).name, "first");
  expect_text(mp_loan_column(loan, 1).name, "later");
}

it("keeps the first error") {
  mp_error err = {0};
  expect_equal(mp_fail(&err, MP_ERR_LOST, 2006, "gone %d", 1), MP_FAILED);
  expect_equal(mp_fail(&err, MP_ERR_TIMEOUT, 0, "late"), MP_FAILED);
  expect_equal(err.kind, MP_ERR_LOST);
  expect_equal(err.code, 2006);
  expect_text(err.message, "gone 1");
}

it("has a name for every kind of error and every answer to whether it was executed") {
  static const char *const kinds[] = {"none",    "server",    "connect", "lost",
                                      "timeout", "exhausted", "closed",  "protocol"};
  for (int kind = MP_ERR_NONE; kind <= MP_ERR_PROTOCOL; kind++)
    expect_text(mp_kind_name((mp_kind)kind), kinds[kind]);
  expect_text(mp_executed_name(MP_EXECUTED_NO), "no");
  expect_text(mp_executed_name(MP_EXECUTED_UNKNOWN), "unknown");
  expect_text(mp_executed_name(MP_EXECUTED_YES), "yes");
}

it("does not hold the faults of a session against the next one in its slot") {
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(1290, MP_PHASE_REPLY));
  query(loan);
  release(loan);
  expect(session_number(1)->closed);
  mp_loan *next = lend();
  expect_equal(query(next), MP_DONE);
  release(next);
  expect_equal(stats().idle, 1);
}

it("does not call a loan a holder that has not got its session yet") {
  open_pool();
  fake.slow_resets = true;
  make_one_idle();
  ask_and_wait();
  lend();
  mp_loan *late = ask(MP_SECOND);
  pass(MP_SECOND);
  expect_equal(step(late), MP_FAILED);
  expect_text(last.err.message,
              "pool exhausted, 2 of 2 connections are lent: loan 3 for 1.0 s (waited 1.0 s)");
}
