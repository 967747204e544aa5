/* Getting a session for a loan: from the idle list, by opening one, or by waiting for one.
   Serves the checkout and, under the same handle, the retry of a first statement. */
#include "checkout.h"

#include <assert.h>

#include "check.h"
#include "distrust.h"
#include "explain.h"
#include "loan.h"
#include "overdue.h"
#include "pick.h"
#include "pool_end.h"
#include "probe.h"
#include "queue.h"
#include "recover.h"
#include "reset.h"
#include "retry.h"
#include "server.h"
#include "servers.h"
#include "slots.h"
#include "sweep.h"
#include "time.h"
#include "wake.h"

static mp_status wait_on_session(mp_loan *loan, int64_t until_ns, mp_wait *wait) {
  *wait = (mp_wait){.fd = loan->pool->driver->wait_fd(loan->slot->session), .until_ns = until_ns};
  return MP_WAIT;
}

/* The loan ends its acquiring without a session. One whose first statement was to be retried stays a loan,
   spent. */
static void end_empty_handed(mp_loan *loan) {
  loan_spend(loan);
  if (loan->operation == OP_CHECKOUT)
    loan->stage = LOAN_NEW;
  loan->operation = OP_NONE;
  queue_serve(loan->pool);
  pool_tell_ended(loan->pool);
}

static mp_status give_up(mp_loan *loan) {
  end_empty_handed(loan);
  return MP_FAILED;
}

static mp_status expire(mp_loan *loan, mp_error *err) {
  explain_expired(loan, err);
  acquire_abandon(loan);
  return MP_FAILED;
}

static mp_status hold(mp_loan *loan, int64_t now_ns) {
  loan->stage = LOAN_HELD;
  loan->server = loan->slot->server;
  loan->since_ns = now_ns;
  overdue_expect(loan->pool, loan);
  return MP_DONE;
}

/* The session failed before anything of the caller's was sent: seek_on seeks another, also where there are no
   retries if the reset was sent only to ask whether the server knows resets by now: that is not the caller's
   trouble. */
static mp_status replace(mp_loan *loan, mp_error *err) {
  mp_pool *pool = loan->pool;
  bool resets = !server_has_refused_resets(loan->slot->server);
  loan->slot->server->stats.moved++;
  slot_close(pool, loan->slot);
  loan->slot = NULL;
  loan->tries++;
  if (pool->config.retries == 0 && resets)
    return give_up(loan);
  pool->stats.retries++;
  mp_error_clear(err);
  loan->stage = LOAN_SEEKING;
  return MP_WAIT;
}

/* ---- waiting ---- */

/* A slot is free, and only the state of the server keeps it from being opened. */
static bool is_held_back(const mp_pool *pool) {
  return servers_are_down(pool) && pool->counts[SLOT_EMPTY] > 0;
}

static mp_status wait_in_queue(mp_loan *loan, mp_wait *wait) {
  mp_pool *pool = loan->pool;
  int64_t until_ns = loan->deadline_ns;
  if (queue_is_first(loan) && is_held_back(pool) && pool->counts[SLOT_OPENING] == 0)
    until_ns = earlier(until_ns, servers_retry_at_ns(pool));
  return wake_await(loan, until_ns, wait);
}

/* A checkout that has just come. One that has waited, or whose session has failed, has its place. */
static bool is_one_too_many(const mp_loan *loan) {
  const mp_pool *pool = loan->pool;
  return pool->config.bounded_queue && queue_count(pool) >= pool->config.max_waiting &&
         loan->operation == OP_CHECKOUT && loan->tries == 0 && !loan->turn.has_waited;
}

static mp_status enqueue(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  if (!pool->config.may_queue && !is_held_back(pool)) {
    explain_exhausted(loan, err);
    return give_up(loan);
  }
  if (is_one_too_many(loan)) {
    explain_refused(pool, err);
    return give_up(loan);
  }
  if (queue_enter(loan, err) == MP_FAILED)
    return give_up(loan);
  return wait_in_queue(loan, wait);
}

/* ---- a session from the idle list ---- */

static mp_status replace_dead(mp_loan *loan, mp_error *err) {
  loan->pool->stats.stale++;
  sweep_dead(loan->pool);
  mp_fail(err, MP_ERR_LOST, MP_CR_SERVER_GONE, "the server closed the connection while it was idle");
  err->retryable = true;
  return replace(loan, err);
}

/* The reset goes on, for whoever comes next, and this checkout seeks another session. */
static mp_status put_aside(mp_loan *loan) {
  reset_put_aside(loan);
  slot_move(loan->pool, loan->slot, SLOT_IDLE);
  loan->slot = NULL;
  loan->stage = LOAN_SEEKING;
  return MP_WAIT;
}

static mp_status after_reset(mp_loan *loan, reset_answer answer, mp_error *err) {
  int64_t now_ns = pool_now(loan->pool);
  switch (answer) {
  case RESET_DONE:
    return loan_is_dead(loan) ? replace_dead(loan, err) : hold(loan, now_ns);
  case RESET_SLOW:
    return pick_has_other(loan->pool, now_ns) ? put_aside(loan) : MP_WAIT;
  case RESET_FAILED:
    return replace(loan, err);
  case RESET_EXPIRED:
    return expire(loan, err);
  default:
    return MP_WAIT;
  }
}

static mp_status use_idle(mp_loan *loan, mp_slot *slot, int64_t now_ns, mp_wait *wait, mp_error *err) {
  loan->slot = slot;
  slot->loan = loan;
  if (!reset_is_pending(slot))
    return hold(loan, now_ns);
  loan->stage = LOAN_RESETTING;
  return after_reset(loan, reset_read(loan, now_ns, wait, err), err);
}

/* ---- a new session ---- */

/* Others may connect as well once one has. */
static mp_status after_open(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  slot_move(pool, loan->slot, SLOT_LENT);
  slot_after_open(pool, loan->slot);
  distrust_after_open(pool, loan->slot);
  server_after_open(loan->slot->server, loan->slot->session);
  mp_status status = hold(loan, pool_now(pool));
  queue_serve(pool);
  return status;
}

/* A statement that could not be stopped says nothing of the next connect. */
static mp_status after_recovery(mp_loan *loan, mp_status status, mp_error *err) {
  mp_pool *pool = loan->pool;
  if (recover_end(pool, loan->slot, status)) {
    slot_move(pool, loan->slot, SLOT_LENT);
    return hold(loan, pool_now(pool));
  }
  loan->slot = NULL;
  mp_error_clear(err);
  loan->stage = LOAN_SEEKING;
  return MP_WAIT;
}

/* Its slot is no more the loan's, which seeks another. */
static mp_status seek_elsewhere(mp_loan *loan, mp_error *err) {
  loan->slot = NULL;
  mp_error_clear(err);
  loan->stage = LOAN_SEEKING;
  return MP_WAIT;
}

/* All servers are barred. */
static void tell_no_host(mp_pool *pool) {
  if (pool->config.hosts > 1 && !pool->no_host_told)
    pool->events |= MP_EVENT_NO_HOST;
  pool->no_host_told = true;
}

/* The attempt has failed, and no other server is left. Waits its turn again until the next attempt is due;
   others who wait held back because this one was under way. */
static mp_status await_server(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  tell_no_host(pool);
  if (servers_refuse(pool) || pool->config.retries == 0 || servers_retry_at_ns(pool) >= loan->deadline_ns) {
    explain_down(pool, err);
    return give_up(loan);
  }
  mp_error_clear(err);
  queue_wake_first(pool);
  return enqueue(loan, wait, err);
}

static mp_status after_failed_open(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  mp_slot *slot = loan->slot;
  struct server *server = slot->server;
  int64_t now_ns = pool_now(pool);
  judge_connect(err);
  server_sign(server, err);
  slot_close(pool, slot);
  loan->slot = NULL;
  if (err->cause == MP_CAUSE_DEADLINE && now_ns >= loan->deadline_ns)
    mp_error_follow(err, " (checkout_timeout)");
  if (err->retryable && server->failures > 0 && now_ns >= loan->deadline_ns)
    *err = server->last_failure; /* this attempt was cut short: the earlier one tells more */
  server_after_failed_open(server, err, now_ns - slot->begun_ns);
  if (!servers_has_well(pool))
    return await_server(loan, wait, err);
  server->stats.moved++;
  if (now_ns < loan->deadline_ns)
    return seek_elsewhere(loan, err);
  explain_failed(server, err);
  return give_up(loan);
}

/* ---- a server that keeps a connect waiting ---- */

/* After so long another server is tried besides. */
static const int64_t head_start_ns = 300 * MP_MILLISECOND;

/* In a plain program an attempt keeps all waiting. */
static const int64_t longest_in_place_ns = 1000 * MP_MILLISECOND;

static int64_t patience_ends_ns(const mp_loan *loan, int64_t patience_ns) {
  if (!servers_has_other(loan->pool, loan->slot->server))
    return loan->deadline_ns;
  return earlier(loan->deadline_ns, loan->slot->begun_ns + patience_ns);
}

static void suspect(struct server *server) {
  mp_error slow = {.kind = MP_ERR_CONNECT, .code = MP_CR_SERVER_LOST, .retryable = true};
  strcpy(slow.message, "no connection within 0.3 s");
  server_sign(server, &slow);
  if (!server_is_barred(server))
    server_bar(server, &slow, head_start_ns);
}

/* The connect goes on, and serves whoever comes, if there is a slot for another. */
static mp_status leave_slow(mp_loan *loan, mp_error *err) {
  mp_pool *pool = loan->pool;
  mp_slot *slot = loan->slot;
  slot->server->stats.moved++;
  if (pool->counts[SLOT_EMPTY] == 0)
    slot_close(pool, slot);
  else
    slot->loan = NULL;
  return seek_elsewhere(loan, err);
}

static mp_status wait_on_opening(mp_loan *loan, mp_wait *wait, mp_error *err) {
  int64_t now_ns = pool_now(loan->pool), until_ns = loan->deadline_ns;
  if (now_ns >= until_ns)
    return expire(loan, err);
  if (loan->slot->state == SLOT_OPENING)
    until_ns = patience_ends_ns(loan, head_start_ns);
  if (now_ns >= until_ns) {
    suspect(loan->slot->server);
    if (servers_may_open(loan->pool))
      return leave_slow(loan, err);
    until_ns = earlier(loan->deadline_ns, now_ns + head_start_ns);
  }
  loan->parked = true;
  return wait_on_session(loan, until_ns, wait);
}

static mp_status step_opening(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  if (status == MP_WAIT)
    return wait_on_opening(loan, wait, err);
  if (loan->slot->state == SLOT_RECOVERING)
    return after_recovery(loan, status, err);
  return status == MP_DONE ? after_open(loan) : after_failed_open(loan, wait, err);
}

static int64_t open_deadline_ns(const mp_loan *loan) {
  return loan->pool->config.may_queue ? loan->deadline_ns : patience_ends_ns(loan, longest_in_place_ns);
}

/* The slot is reserved; the connect, or the recovery, may have been begun for another loan. */
static mp_status use_opening(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_driver *driver = loan->pool->driver;
  mp_slot *slot = loan->slot;
  mp_status status;
  loan->stage = LOAN_OPENING;
  if (slot->session) {
    status = driver->step(slot->session, err);
  } else {
    slot_begin_open(slot);
    status = driver->open(driver, slot->server->number, false, open_deadline_ns(loan), &slot->session, err);
  }
  return step_opening(loan, status, wait, err);
}

static mp_status reserve(mp_loan *loan, mp_slot *slot, mp_wait *wait, mp_error *err) {
  if (slot->state == SLOT_EMPTY) {
    slot_move(loan->pool, slot, SLOT_OPENING);
    distrust_before_open(loan->pool);
  }
  slot->loan = loan;
  loan->slot = slot;
  return use_opening(loan, wait, err);
}

/* ---- the choice ---- */

static bool end_open(mp_pool *pool, mp_slot *slot, mp_status status, mp_error *err) {
  if (status == MP_DONE) {
    slot_after_open(pool, slot);
    distrust_after_open(pool, slot);
    if (!slot_has_expired(pool, slot, pool_now(pool)))
      server_after_open(slot->server, slot->session);
    return true;
  }
  judge_connect(err);
  server_sign(slot->server, err);
  slot_close(pool, slot);
  server_after_failed_open(slot->server, err, 0); /* nobody has seen how long it took */
  return false;
}

static void step_orphan(mp_pool *pool, mp_slot *slot) {
  mp_error err = {0};
  mp_status status = pool->driver->step(slot->session, &err);
  bool recovering = slot->state == SLOT_RECOVERING;
  if (status == MP_WAIT)
    return;
  if (recovering ? recover_end(pool, slot, status) : end_open(pool, slot, status, &err))
    slot_make_idle(pool, slot);
}

static bool is_orphan(const mp_slot *slot) {
  return (slot->state == SLOT_OPENING || slot->state == SLOT_RECOVERING) && !slot->loan;
}

/* Connects whose loans gave up, and recoveries, may have come to their ends since. */
static void step_orphans(mp_pool *pool) {
  unsigned count = pool->counts[SLOT_OPENING] + pool->counts[SLOT_RECOVERING];
  for (unsigned i = 0; count > 0 && i < pool->config.max_size; i++)
    if (is_orphan(&pool->slots[i]))
      step_orphan(pool, &pool->slots[i]);
}

/* tries > 0: its first session failed. It keeps its turn, ahead of those who came later. */
static mp_status seek(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  mp_slot *slot;
  if (pool->closed) {
    explain_closed(err);
    return give_up(loan);
  }
  step_orphans(pool);
  probe_look(pool);
  int64_t now_ns = pool_now(pool);
  sweep_outlived(pool, now_ns);
  if (queue_has_earlier(loan) || (!queue_is_empty(pool) && loan->tries == 0))
    return enqueue(loan, wait, err);
  bool may_reuse = loan->tries <= pool->config.retries && !distrust_needs_new(pool);
  if (may_reuse && (slot = pick_idle(pool, now_ns))) {
    slot_move(pool, slot, SLOT_LENT);
    return use_idle(loan, slot, now_ns, wait, err);
  }
  if ((slot = slot_find_other(pool)))
    return reserve(loan, slot, wait, err);
  return enqueue(loan, wait, err);
}

/* A loop, not a recursion: any number of sessions may fail one after the other. */
static mp_status seek_on(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  while (loan->stage == LOAN_SEEKING)
    status = seek(loan, wait, err);
  return status;
}

mp_status acquire(mp_loan *loan, mp_wait *wait, mp_error *err) {
  loan->stage = LOAN_SEEKING;
  return seek_on(loan, MP_WAIT, wait, err);
}

/* Gives back what the loan was about to get. A reset and a connect go on and serve whoever
   comes next. */
static void return_slot(mp_pool *pool, mp_slot *slot) {
  if (!slot->session || (pool->closed && slot->state == SLOT_OPENING)) {
    slot_close(pool, slot);
  } else if (pool->closed) {
    slot_discard(pool, slot);
  } else if (slot->state == SLOT_LENT) {
    slot_move(pool, slot, SLOT_IDLE);
  } else {
    slot->loan = NULL;
  }
}

/* The loan has been handed a slot: it leaves the queue, or the slot on which it waited. */
static void leave(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  mp_slot *left = loan->left;
  if (!left) {
    queue_leave(loan);
    return;
  }
  loan->left = NULL;
  return_slot(pool, left);
  queue_serve(pool);
}

static mp_status step_handed(mp_loan *loan, mp_wait *wait, mp_error *err) {
  leave(loan);
  if (loan->slot->state != SLOT_LENT)
    return use_opening(loan, wait, err);
  if (loan->pool->driver->peek(loan->slot->session) == MP_DEAD)
    return replace_dead(loan, err);
  return use_idle(loan, loan->slot, pool_now(loan->pool), wait, err);
}

static mp_status step_queued(mp_loan *loan, mp_wait *wait, mp_error *err) {
  if (queue_try(loan))
    return step_handed(loan, wait, err);
  if (pool_now(loan->pool) < loan->deadline_ns)
    return wait_in_queue(loan, wait);
  explain_expired(loan, err);
  queue_leave(loan);
  return give_up(loan);
}

static mp_status step_stage(mp_loan *loan, mp_wait *wait, mp_error *err) {
  switch (loan->stage) {
  case LOAN_QUEUED:
    return step_queued(loan, wait, err);
  case LOAN_HANDED:
    return step_handed(loan, wait, err);
  case LOAN_OPENING:
    return step_opening(loan, loan->pool->driver->step(loan->slot->session, err), wait, err);
  case LOAN_RESETTING:
    return after_reset(loan, reset_step(loan, wait, err), err);
  default:
    return MP_DONE;
  }
}

mp_status acquire_step(mp_loan *loan, mp_wait *wait, mp_error *err) {
  loan->parked = false;
  loan->turn.has_waited = true;
  if (!loan->pool->closed)
    return seek_on(loan, step_stage(loan, wait, err), wait, err);
  acquire_abandon(loan);
  return explain_closed(err);
}

void acquire_abandon(mp_loan *loan) {
  loan->parked = false;
  if (loan->stage == LOAN_QUEUED || loan->stage == LOAN_HANDED)
    leave(loan);
  if (loan->slot)
    return_slot(loan->pool, loan->slot);
  end_empty_handed(loan);
}

mp_status checkout_end(mp_loan *loan, mp_status status) {
  if (status == MP_DONE) {
    loan->operation = OP_NONE;
    loan->lent_ns = loan->since_ns;
    loan->pool->stats.checkouts++;
  }
  return status;
}

mp_status mp_loan_checkout(mp_loan *loan, int64_t timeout_ns, const char *label, mp_wait *wait,
                           mp_error *err) {
  CHECK_WHEN_LEFT(loan->pool);
  assert(loan->stage == LOAN_NEW && loan->operation == OP_NONE);
  mp_error_clear(err);
  loan->operation = OP_CHECKOUT;
  loan->timeout_ns = timeout_ns;
  loan->deadline_ns = add_time(pool_now(loan->pool), timeout_ns);
  queue_take_ticket(loan);
  loan->tries = 0;
  loan->label = label ? label : "";
  return checkout_end(loan, acquire(loan, wait, err));
}
