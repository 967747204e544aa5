/* Loans whose callers are gone in the middle of something: what they had is free at once, not at their
 * release. */
#include <string.h>

#include "world.h"

it("stops the statement of a loan that is abandoned, and keeps its session for others") {
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, waits);
  query(loan);
  abandon(loan);
  expect_equal(session_number(1)->recoveries, 1);
  expect_equal(stats().recovering, 1);
  expect_equal(stats().lent, 0);
  answer(session_number(1), fine);
  expect(session_of(lend()) == session_number(1));
  expect_of_no_use(loan);
  release(loan);
  expect_equal(stats().lent, 1);
}

it("stops it also in the middle of its rows, and of its results") {
  config.max_size = 2;
  open_pool();
  mp_loan *a, *b;
  wait_in_results(&a, &b);
  abandon(a);
  abandon(b);
  expect_equal(stats().recovering, 2);
}

it("closes the session at once where there is no statement to stop: of a ping, and of a reset") {
  config.max_size = 2;
  open_pool();
  mp_loan *a = lend(), *b = lend();
  query(b);
  plan(ON_PING, waits);
  plan(ON_RESET_READ, waits);
  expect_equal(ping(a), MP_WAIT);
  expect_equal(reset(b), MP_WAIT);
  abandon(a);
  abandon(b);
  expect(session_number(1)->closed && session_number(2)->closed);
  expect_equal(stats().size, 0);
  expect_of_no_use(a);
  expect_of_no_use(b);
}

it("hands the place of a closed session to the first in line") {
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend(), *waiting = ask_and_wait();
  plan(ON_PING, waits);
  ping(loan);
  abandon(loan);
  expect_equal(step(waiting), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("gives a session back that was at rest, as a release does") {
  config.max_size = 1;
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  abandon(loan);
  expect_equal(stats().idle, 1);
  expect_equal(session_number(1)->resets, 1);
  expect_of_no_use(loan);
}

it("does so in a pause") {
  open_pool();
  mp_loan *loan = lend();
  pause_for(loan, MP_SECOND);
  abandon(loan);
  expect_equal(fake.wakeups, 0);
  expect_equal(stats().lent, 0);
  expect_of_no_use(loan);
}

it("but closes it where sessions are not reset: a transaction may be open") {
  config.reset = false;
  open_pool();
  mp_loan *loan = lend();
  query(loan);
  abandon(loan);
  expect(session_number(1)->closed);
}

it("gives up a place in line, and leaves the others theirs") {
  config.max_size = 1;
  open_pool();
  mp_loan *lent = lend(), *gone = ask_and_wait(), *waiting = ask_and_wait();
  abandon(gone);
  expect_equal(stats().waiting, 1);
  release(lent);
  expect_equal(step(waiting), MP_DONE);
  expect(!mp_loan_is_held(gone));
}

it("passes on what was handed to a loan that had not looked yet") {
  config.max_size = 1;
  open_pool();
  mp_loan *lent = lend(), *gone = ask_and_wait(), *waiting = ask_and_wait();
  release(lent);
  abandon(gone);
  expect_equal(step(waiting), MP_DONE);
  expect_equal(fake.opened, 1);
}

it("does nothing to a loan that has ended, or has no session any more") {
  open_pool();
  mp_loan *ended = lend(), *lost = lend(), *fresh = new_loan();
  release(ended);
  time_out(lost);
  mp_stats before = stats();
  abandon(ended);
  abandon(lost);
  abandon(fresh);
  abandon(lost);
  mp_stats after = stats();
  expect(memcmp(&before, &after, sizeof before) == 0);
}

it("tells whoever waits for the last loan of a closed pool") {
  open_pool();
  mp_loan *loan = lend();
  close_pool();
  int fd = mp_pool_ended_fd(pool);
  expect(!readable(fd));
  abandon(loan);
  expect(readable(fd));
  expect_equal(stats().lent, 0);
}

it("says of a loan whether it stands in line") {
  config.max_size = 1;
  open_pool();
  mp_loan *lent = lend(), *waiting = ask_and_wait();
  expect(mp_loan_is_queued(waiting) && !mp_loan_is_queued(lent));
  release(lent);
  expect(!mp_loan_is_queued(waiting));
}
