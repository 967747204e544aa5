/* Asks a server that leaves loans without an answer, and says nothing to others either, whether it is there:
   by a connect beside the work. One that answers is left alone, for longer each time, as a statement may take
   as long as it likes. One that does not, for as long again, is cut off. There is no timer: those who wait
   look. */
#include "silence.h"

#include <stdio.h>

#include "loan.h"
#include "probe.h"
#include "queue.h"
#include "retry.h"
#include "server.h"
#include "sweep.h"
#include "time.h"

/* A session that was cut tells by itself. */
static bool is_watched(const mp_loan *loan) {
  return loan->pool->config.silence_ns > 0 && !loan->pool->closed && !loan->slot->silenced;
}

/* A server that was asked on behalf of another loan has its time anew: that loan may be gone long since. */
int64_t silence_due_ns(mp_loan *loan) {
  const struct server *server = loan->slot->server;
  if (!is_watched(loan))
    return MP_NEVER;
  if (loan->waits_since_ns == 0)
    loan->waits_since_ns = pool_now(loan->pool);
  if (server->silence.asked_ns > 0)
    return add_time(later(server->silence.asked_ns, loan->waits_since_ns), loan->pool->config.silence_ns);
  return add_time(later(server->silence.heard_ns, loan->waits_since_ns), server->silence.patience_ns);
}

static void write_reason(const mp_pool *pool, mp_error *err) {
  snprintf(err->message, sizeof err->message,
           "no answer from the server, nor to a new connection within %s s",
           mp_seconds_of(pool->config.silence_ns).text);
}

static void cut_sessions(mp_pool *pool, const struct server *server) {
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    mp_slot *slot = &pool->slots[i];
    if (slot->state != SLOT_LENT || slot->server != server)
      continue;
    slot->silenced = true;
    pool->driver->abort(slot->session);
  }
}

static void cut_off(mp_pool *pool, struct server *server) {
  mp_error silent = {.kind = MP_ERR_CONNECT, .code = MP_CR_SERVER_LOST, .retryable = true};
  write_reason(pool, &silent);
  server_sign(server, &silent);
  server_distrust_silent(server, &silent);
  cut_sessions(pool, server);
  sweep_outlived(pool, pool_now(pool));
  queue_serve(pool);
}

static void ask(mp_pool *pool, struct server *server) {
  server->silence.asked_ns = pool_now(pool);
  if (!server->probe.begun)
    probe_begin(pool, server);
}

static void look(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  struct server *server = loan->slot->server;
  probe_go_on(pool, server);
  if (pool_now(pool) < silence_due_ns(loan))
    return;
  if (server->silence.asked_ns > 0)
    cut_off(pool, server);
  else
    ask(pool, server);
}

bool silence_look(mp_loan *loan) {
  loan_operation operation = loan->operation;
  if (!is_watched(loan))
    return true;
  look(loan);
  return loan_has_session(loan) && loan->operation == operation;
}

void silence_after_answer(mp_loan *loan, mp_status status, const mp_error *err) {
  if (is_watched(loan) && (status == MP_DONE || is_answered(err)))
    server_hear(loan->slot->server);
}

void silence_explain(const mp_loan *loan, mp_error *err) {
  if (loan->slot->silenced)
    write_reason(loan->pool, err);
}
