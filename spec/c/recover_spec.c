/* Sessions whose statement met its deadline: the statement is stopped behind the back of the
   loan, and then the session serves others. */
#include "world.h"

static const fake_answer in_vain = {.status = MP_FAILED, .code = 2013, .phase = MP_PHASE_RESET};

it("takes the session from a loan whose statement timed out, to stop the statement") {
  open_pool();
  mp_loan *loan = lend();
  mp_session *s = time_out(loan);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect(last.err.fatal && !last.err.retryable);
  expect_equal(s->recoveries, 1);
  expect(!s->aborted && !s->closed);
  expect_equal(stats().recovering, 1);
  expect_equal(stats().lent, 0);
  expect_equal(stats().size, 1);
}

it("leaves the loan without a session: only its release is of use") {
  open_pool();
  mp_loan *loan = lend();
  time_out(loan);
  expect(!mp_loan_is_in_transaction(loan));
  expect_of_no_use(loan);
  release(loan);
  expect(!mp_loan_is_held(loan));
  expect_equal(stats().discarded, 0);
  expect_equal(stats().recovering, 1);
}

it("stops a statement also when its rows or further results are late") {
  config.query_timeout_ns = MP_SECOND;
  open_pool();
  mp_loan *a, *b;
  wait_in_results(&a, &b);
  pass(MP_SECOND);
  expect_equal(step(a), MP_FAILED);
  expect_equal(step(b), MP_FAILED);
  expect_equal(stats().recovering, 2);
}

it("lends a recovered session like any idle one, as new") {
  open_pool();
  mp_session *s = make_one_recovering();
  answer(s, fine);
  mp_loan *loan = lend();
  expect(session_of(loan) == s);
  expect_equal(stats().recovering, 0);
  expect_equal(fake.opened, 1);
  expect_equal(s->resets, 0);
  expect_equal(query(loan), MP_DONE);
  release(loan);
  expect_equal(stats().idle, 1);
}

it("finds each recovery that came to its end, whatever the others do") {
  mp_loan *lent[3];
  config.max_size = 4;
  open_pool();
  for (int i = 0; i < 3; i++)
    lent[i] = lend();
  for (int i = 0; i < 3; i++)
    time_out(lent[i]);
  answer(session_number(1), in_vain);
  answer(session_number(3), fine);
  expect(session_of(lend()) == session_number(3));
  expect(session_number(1)->closed);
  expect_equal(stats().recovering, 1);
}

it("rather opens a session than waits for one that is recovering") {
  open_pool();
  make_one_recovering();
  lend();
  expect_equal(fake.opened, 2);
  expect_equal(stats().recovering, 1);
}

it("counts a session that is recovering against max_size") {
  config.max_size = 1;
  open_pool();
  make_one_recovering();
  ask_and_wait();
  ask_and_wait();
  expect_equal(fake.opened, 1);
  expect_equal(stats().size, 1);
  expect_equal(stats().waiting, 1);
}

it("waits for a recovery when nothing else is left, on the session's own descriptor") {
  config.max_size = 1;
  open_pool();
  mp_session *s = make_one_recovering();
  mp_loan *loan = ask_and_wait();
  expect(!readable(last.wait.fd));
  expect_equal(step(loan), MP_WAIT);
  answer(s, fine);
  expect(readable(last.wait.fd));
  expect_equal(step(loan), MP_DONE);
  expect(session_of(loan) == s);
  expect_equal(stats().opened, 1);
}

it("waits for a recovery in a blocking program too") {
  config.max_size = 1;
  config.may_queue = false;
  open_pool();
  mp_session *s = make_one_recovering();
  mp_loan *loan = ask_and_wait();
  answer(s, fine);
  expect_equal(step(loan), MP_DONE);
}

it("rather waits for a connect that nobody waits for than for a recovery") {
  open_pool();
  make_one_recovering();
  plan(ON_OPEN, waits);
  free_loan(ask_and_wait());
  expect(session_of(ask_and_wait()) == session_number(2));
  expect(session_of(ask_and_wait()) == session_number(1));
}

it("lets who waited longest have the session once it has recovered") {
  config.max_size = 1;
  open_pool();
  mp_loan *holder = lend(), *a = ask_and_wait(), *b = ask_and_wait();
  mp_session *s = time_out(holder);
  expect(readable(wait_of(a).fd) && !readable(wait_of(b).fd));
  expect_equal(step(a), MP_WAIT);
  answer(s, fine);
  expect_equal(step(b), MP_WAIT);
  expect_equal(step(a), MP_DONE);
  expect(session_of(a) == s);
}

it("gives who waits for a recovery the session that comes back meanwhile") {
  open_pool();
  mp_loan *holder = lend();
  mp_session *s = make_one_recovering(), *other = session_of(holder);
  mp_loan *waiter = ask_and_wait();
  expect(session_of(waiter) == s && !readable(wait_of(waiter).fd));
  release(holder);
  expect(readable(wait_of(waiter).fd));
  expect_equal(step(waiter), MP_DONE);
  expect(session_of(waiter) == other);
  expect_equal(stats().recovering, 1);
  answer(s, fine);
  expect(session_of(lend()) == s);
}

it("gives that session to nobody else, and the recovery to nobody before the waiter has looked") {
  open_pool();
  mp_loan *holder = lend();
  mp_session *s = make_one_recovering(), *other = session_of(holder);
  mp_loan *waiter = ask_and_wait();
  release(holder);
  mp_loan *late = ask_and_wait();
  expect(!session_of(late));
  expect_equal(step(waiter), MP_DONE);
  expect(session_of(waiter) == other);
  expect(readable(wait_of(late).fd));
  expect_equal(step(late), MP_WAIT);
  expect(session_of(late) == s && !readable(wait_of(late).fd));
}

it("leaves a recovery to the next when who was called away from it gives up") {
  open_pool();
  mp_loan *holder = lend();
  mp_session *s = make_one_recovering(), *other = session_of(holder);
  mp_loan *waiter = ask_and_wait();
  release(holder);
  free_loan(waiter);
  expect_equal(stats().idle, 1);
  expect(session_of(lend()) == other);
  expect(session_of(ask_and_wait()) == s);
}

it("wakes who waits for a recovery when the pool is closed, also one that was called away from it") {
  open_pool();
  mp_loan *holder = lend();
  make_one_recovering();
  mp_loan *waiter = ask_and_wait();
  close_pool();
  expect(readable(wait_of(waiter).fd));
  expect_equal(step(waiter), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  release(holder);
  expect_equal(stats().size, 0);
}

it("goes on with a recovery whose waiter gave up, for the next") {
  config.max_size = 1;
  open_pool();
  mp_session *s = make_one_recovering();
  mp_loan *hasty = ask(MP_SECOND), *next = ask_and_wait();
  pass(MP_SECOND);
  expect_equal(step(hasty), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_TIMEOUT);
  expect(last.err.retryable);
  expect(readable(wait_of(next).fd));
  expect_equal(step(next), MP_WAIT);
  answer(s, fine);
  expect_equal(step(next), MP_DONE);
  expect_equal(s->recoveries, 1);
}

it("opens another session at once when the recovery it waited for fails") {
  config.max_size = 1;
  open_pool();
  mp_session *s = make_one_recovering();
  mp_loan *loan = ask_and_wait();
  answer(s, fails(1045, MP_PHASE_CONNECT));
  expect_equal(step(loan), MP_DONE);
  expect(s->closed);
  expect(session_of(loan) == session_number(2));
  expect_equal(stats().connect_failures, 0);
  expect_equal(stats().discarded, 1);
}

it("does not take a failed recovery for a failed connect, nor starts a pause") {
  open_pool();
  mp_session *s = make_one_recovering();
  answer(s, fails(2002, MP_PHASE_CONNECT));
  lend();
  expect(s->closed);
  expect_equal(fake.opened, 2);
  expect_equal(stats().connect_failures, 0);
  expect_equal(stats().discarded, 1);
}

it("does not take a recovery for a connect that succeeded") {
  config.max_size = 3;
  open_pool();
  mp_loan *a = lend(), *b = lend();
  time_out(a);
  time_out(b);
  answer(session_number(1), fine);
  plan_times(2, ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  mp_loan *first = lend(), *second = ask_and_wait();
  expect(session_of(first) == session_number(1));
  expect(session_of(second) == session_number(2));
  mp_loan *third = ask_and_wait();
  int64_t retry_at_ns = pool->servers->retry_at_ns;
  answer(session_number(2), fine);
  expect_equal(step(second), MP_DONE);
  expect_equal(step(third), MP_WAIT);
  expect_equal(last.wait.until_ns, retry_at_ns);
  expect_equal(stats().opened, 2);
}

it("keeps the place of who waited for a recovery that failed") {
  config.max_size = 1;
  open_pool();
  mp_session *s = make_one_recovering();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  answer(s, in_vain);
  expect_equal(step(a), MP_WAIT);
  expect(readable(last.wait.fd) && !readable(wait_of(b).fd));
  expect_equal(step(a), MP_DONE);
  expect_equal(fake.opened, 2);
}

it("cuts the session when its recovery cannot even begin") {
  open_pool();
  plan(ON_RECOVER, fails(0, MP_PHASE_CONNECT));
  mp_loan *loan = lend();
  mp_session *s = time_out(loan);
  expect(s->aborted);
  expect(last.err.fatal);
  expect_equal(last.err.executed, MP_EXECUTED_UNKNOWN);
  expect_equal(mp_loan_id(loan), 0);
  expect_equal(stats().recovering, 0);
  release(loan);
  expect(s->closed);
  expect_equal(stats().discarded, 1);
}

it("does not begin to recover a session of a closed pool") {
  open_pool();
  mp_loan *loan = lend();
  close_pool();
  mp_session *s = time_out(loan);
  expect_equal(s->recoveries, 0);
  expect(s->aborted);
}

it("closes what is recovering when the pool is closed") {
  open_pool();
  mp_session *s = make_one_recovering();
  close_pool();
  expect(s->closed);
  expect_equal(stats().recovering, 0);
  expect_equal(stats().discarded, 1);
}

it("ends a checkout that was waiting for a recovery when the pool was closed") {
  config.max_size = 1;
  open_pool();
  mp_session *s = make_one_recovering();
  mp_loan *loan = ask_and_wait();
  close_pool();
  expect(!s->closed);
  expect(!readable(mp_pool_ended_fd(pool)));
  expect_equal(step(loan), MP_FAILED);
  expect_equal(last.err.kind, MP_ERR_CLOSED);
  expect(s->closed);
  expect(readable(mp_pool_ended_fd(pool)));
  expect_equal(stats().discarded, 1);
}

it("does not take the last loan for ended while a checkout waits for a recovery") {
  open_pool();
  mp_loan *holder = lend();
  make_one_recovering();
  mp_loan *waiter = ask_and_wait();
  expect_equal(stats().recovering, 1);
  close_pool();
  int fd = mp_pool_ended_fd(pool);
  release(holder);
  expect(readable(fd));
  mp_pool_ended_fd(pool);
  expect(!readable(fd));
  free_loan(waiter);
  expect(readable(fd));
}

it("retires a session that was recovering during an eviction") {
  config.max_size = 1;
  open_pool();
  mp_session *s = make_one_recovering();
  evict();
  answer(s, fine);
  expect(session_of(lend()) == session_number(2));
  expect(s->closed);
  expect_equal(stats().retired, 1);
  expect_equal(stats().discarded, 0);
}

it("retires such a session also under a checkout that waited for it, which gets another") {
  config.max_size = 1;
  open_pool();
  mp_session *s = make_one_recovering();
  mp_loan *a = ask_and_wait(), *b = ask_and_wait();
  evict();
  answer(s, fine);
  expect_equal(step(a), MP_WAIT);
  expect(s->closed);
  expect_equal(stats().retired, 1);
  expect(readable(last.wait.fd) && !readable(wait_of(b).fd));
  expect_equal(step(a), MP_DONE);
  expect(session_of(a) == session_number(2));
}

it("does not lend a recovered session whose lifetime is over") {
  open_pool();
  mp_session *s = make_one_recovering();
  pass(1801 * MP_SECOND);
  answer(s, fine);
  lend();
  expect(s->closed);
  expect_equal(stats().retired, 1);
}

it("does not lend a recovered session of a server that cannot write") {
  open_pool();
  mp_loan *loan = lend();
  plan(ON_QUERY, fails(1290, MP_PHASE_REPLY));
  query(loan);
  mp_session *s = time_out(loan);
  answer(s, fine);
  expect(session_of(lend()) != s);
  expect(s->closed);
  expect_equal(stats().discarded, 1);
}

it("counts the idle time of a recovered session from the end of its recovery") {
  fake.idle_limit_ns = 60 * MP_SECOND;
  open_pool();
  mp_session *s = make_one_recovering();
  pass(300 * MP_SECOND);
  answer(s, fine);
  release(lend());
  expect_equal(stats().idle, 1);
  pass(59 * MP_SECOND);
  expect(session_of(lend()) == s);
}

it("does not lend a session that died after its recovery") {
  open_pool();
  mp_session *s = make_one_recovering();
  answer(s, fine);
  s->dead = true;
  lend();
  expect(s->closed);
  expect_equal(fake.opened, 2);
}

it("finds a recovering session for the retry of a first statement") {
  open_pool();
  mp_loan *retried = lend();
  mp_session *s = make_one_recovering();
  dies(session_of(retried));
  plan(ON_OPEN, fails(2002, MP_PHASE_CONNECT));
  expect_equal(query(retried), MP_WAIT);
  expect(readable(last.wait.fd));
  expect_equal(step(retried), MP_WAIT);
  answer(s, fine);
  expect_equal(step(retried), MP_DONE);
  expect(session_of(retried) == s);
}

it("frees a pool in the middle of a recovery") {
  open_pool();
  mp_session *s = make_one_recovering();
  drop_pool();
  expect_equal(fake.freed, 1);
  expect(s->closed);
}
