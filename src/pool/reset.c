/* When a reset is sent, waited for, put aside and believed. */
#include "reset.h"

#include "loan.h"
#include "server.h"
#include "time.h"

/* ---- sent ---- */

/* Only the release decides whether the session is lent again: it is more than likely when nothing speaks
   against it now. */
bool reset_may_go_along(const mp_loan *loan) {
  const mp_slot *slot = loan->slot;
  return loan->statement.last && loan->pool->config.reset && loan->pool->config.reset_together &&
         !slot->recording && !server_has_refused_resets(slot->server);
}

bool reset_has_gone_astray(const mp_loan *loan) {
  const mp_driver *driver = loan->pool->driver;
  const mp_session *session = loan->slot->session;
  return loan->statement.last && !driver->is_at_rest(session) && !driver->is_being_reset(session);
}

/* A loan that sent nothing left nothing behind: it alone needs no reset. */
bool reset_send(mp_loan *loan, int64_t now_ns) {
  mp_pool *pool = loan->pool;
  mp_slot *slot = loan->slot;
  mp_error err = {0};
  bool sent = pool->driver->is_being_reset(slot->session);
  if (!sent && (!pool->config.reset || !loan->dirty))
    return true;
  if (!server_may_reset(slot->server))
    return false;
  mp_status status = pool->driver->reset_send(slot->session, &err);
  if (status == MP_FAILED) {
    server_after_failed_reset(slot, &err);
    return false;
  }
  pool->stats.resets_sent++;
  pool->stats.resets_together += sent;
  slot->reset.pending = true;
  slot->reset.partial = status == MP_WAIT;
  slot->reset.sent_ns = now_ns;
  return true;
}

mp_status reset_start(mp_loan *loan, mp_error *err) {
  mp_driver *driver = loan->pool->driver;
  mp_session *session = loan->slot->session;
  err->phase = MP_PHASE_RESET;
  if (!server_may_reset(loan->slot->server))
    return mp_fail(err, MP_ERR_PROTOCOL, 0, "the server does not know how to reset a session");
  if (driver->reset_send(session, err) == MP_FAILED)
    return MP_FAILED;
  loan->pool->stats.resets_sent++;
  return driver->reset_read(session, err);
}

/* ---- waited for ---- */

bool reset_is_late(const mp_pool *pool, const mp_slot *slot, int64_t now_ns) {
  return now_ns - slot->reset.sent_ns >= pool->config.reset_timeout_ns;
}

mp_status reset_fail_late(mp_error *err) {
  return mp_fail(err, MP_ERR_TIMEOUT, 0, "the server did not answer a reset in time");
}

/* A session that has a part of its replies is not put aside: the checkout would find it first again, for
   ever. */
static bool is_slow(const mp_loan *loan, int64_t now_ns) {
  return !reset_is_recent(loan->slot, now_ns) && loan->pool->driver->peek(loan->slot->session) != MP_READY;
}

/* Nobody tells the checkout of another session that comes back meanwhile, so it looks from time to time. */
static reset_answer wait_on(mp_loan *loan, mp_wait *wait) {
  int64_t now_ns = pool_now(loan->pool);
  *wait = (mp_wait){.fd = loan->pool->driver->wait_fd(loan->slot->session), .until_ns = loan->limit_ns};
  if (loan->pool->config.max_size == 1)
    return RESET_WAIT;
  wait->until_ns = earlier(loan->limit_ns, now_ns + RESET_SLOW_NS);
  return is_slow(loan, now_ns) ? RESET_SLOW : RESET_WAIT;
}

/* A server that does not answer a reset must leave time to try another session. */
static int64_t limit_ns(const mp_loan *loan, int64_t now_ns) {
  int64_t latest_ns = add_time(loan->slot->reset.sent_ns, loan->pool->config.reset_timeout_ns);
  if (loan->deadline_ns == MP_NEVER)
    return latest_ns;
  return earlier(latest_ns, now_ns + (loan->deadline_ns - now_ns) / 2);
}

static bool wait_here(const mp_loan *loan) {
  return loan_wait_here(loan, earlier(loan->limit_ns, loan->since_ns + RESET_SLOW_NS));
}

/* ---- believed ---- */

static reset_answer conclude(mp_loan *loan, mp_status status, mp_wait *wait, mp_error *err) {
  mp_slot *slot = loan->slot;
  if (status == MP_WAIT)
    return wait_on(loan, wait);
  slot->reset.pending = slot->reset.begun = slot->reset.slow = false;
  if (status == MP_DONE) {
    server_after_reset(slot);
    return RESET_DONE;
  }
  server_after_failed_reset(slot, err);
  err->kind = MP_ERR_LOST;
  err->retryable = true;
  return RESET_FAILED;
}

reset_answer reset_step(mp_loan *loan, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  mp_status status;
  do
    status = pool->driver->step(loan->slot->session, err);
  while (status == MP_WAIT && wait_here(loan));
  int64_t now_ns = pool_now(pool);
  if (status == MP_WAIT && now_ns >= loan->deadline_ns)
    return RESET_EXPIRED;
  if (status == MP_WAIT && now_ns >= loan->limit_ns)
    status = reset_fail_late(err);
  if (status != MP_WAIT)
    pool->stats.reset_wait_ns += now_ns - loan->since_ns;
  return conclude(loan, status, wait, err);
}

/* A loan that gave up waiting may have begun to read. */
static mp_status begin_or_step(mp_driver *driver, mp_slot *slot, mp_error *err) {
  if (slot->reset.begun)
    return driver->step(slot->session, err);
  slot->reset.begun = true;
  return driver->reset_read(slot->session, err);
}

reset_answer reset_read(mp_loan *loan, int64_t now_ns, mp_wait *wait, mp_error *err) {
  mp_pool *pool = loan->pool;
  if (loan->slot->reset.partial)
    loan->slot->reset.sent_ns = now_ns; /* nobody could answer before the rest was sent */
  mp_status status = begin_or_step(pool->driver, loan->slot, err);
  if (status == MP_DONE)
    pool->stats.resets_hidden++;
  if (status == MP_WAIT) {
    pool->stats.resets_waited++;
    loan->since_ns = now_ns;
    loan->limit_ns = limit_ns(loan, now_ns);
    if (wait_here(loan))
      return reset_step(loan, wait, err);
  }
  return conclude(loan, status, wait, err);
}

/* ---- put aside ---- */

void reset_put_aside(mp_loan *loan) {
  loan->pool->stats.reset_wait_ns += pool_now(loan->pool) - loan->since_ns;
  loan->slot->reset.slow = true;
}
