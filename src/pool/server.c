/* Knows one server, and decides by that. While it is down: one attempt at a time, with growing, random pauses
   between. When it is back: with each that succeeds, one more at a time. Resets that fail: a server or proxy
   that knows none says so; then sessions are closed where they would have been reset. Resets that fail for
   other reasons are sent all the same, and the pool's user is told. No such verdict lasts: the server may be
   another one by now. */
#include "server.h"

#include "time.h"

/* ---- is it up ---- */

static const int64_t first_pause_ns = 20 * MP_MILLISECOND;
static const int64_t longest_pause_ns = 300 * MP_MILLISECOND;

/* A server that has just come back is slow, and other pools have waited for it as well. */
bool server_may_open(const struct server *server) {
  if (server->failures > 0)
    return server->opening == 0 && pool_now(server->pool) >= server->retry_at_ns;
  return server->successes == 0 || server->opening <= server->successes;
}

static int64_t pause_ns(struct server *server) {
  int64_t pause = first_pause_ns;
  for (unsigned i = 1; i < server->failures && pause < longest_pause_ns; i++)
    pause *= 2;
  if (pause > longest_pause_ns)
    pause = longest_pause_ns;
  return pause / 2 + (int64_t)pool_random(server->pool, (uint64_t)pause / 2 + 1);
}

/* A server that refuses for good does answer: whoever comes next is told the same at once. */
void server_after_failed_open(struct server *server, const mp_error *err) {
  server->pool->stats.connect_failures++;
  server->successes = 0;
  if (!err->retryable) {
    server->failures = 0;
    return;
  }
  server->failures++;
  server->last_failure = *err;
  server->retry_at_ns = pool_now(server->pool) + pause_ns(server);
}

void server_after_open(struct server *server) {
  if (server->failures > 0 || server->successes > 0)
    server->successes++;
  if (server->successes >= server->pool->config.max_size)
    server->successes = 0;
  server->failures = 0;
}

/* ---- does it know resets ---- */

static const int64_t ask_again_ns = 60 * MP_SECOND;

enum {
  REFUSALS_TOLD = 2, /* in a row, by new sessions, say that the server knows no reset */
  FAILURES_TOLD = 3  /* ... by any, that something is wrong */
};

/* A Galera node says 1047 too while it may not serve, in other words. Of a session that no reset would lead
   back to where it began the driver says that itself. */
static bool is_refusal(const mp_slot *slot, const mp_error *err) {
  if (err->kind == MP_ERR_PROTOCOL && err->code == MP_ER_NOT_SUPPORTED_YET)
    return true;
  return err->code == MP_ER_UNKNOWN_COMMAND && strstr(err->message, "Unknown command") && !slot->was_reset;
}

/* An event that was not told yet is taken back by a later one: that resets work again is not told behind the
   news that they do not. */
static void tell(mp_pool *pool, unsigned event) {
  pool->events = (pool->events & ~(unsigned)MP_EVENT_RESET_WORKS) | event;
}

void server_after_reset(mp_slot *slot) {
  struct server *server = slot->server;
  slot->was_reset = true;
  if (server->reset_refused || server->reset_failures >= FAILURES_TOLD)
    tell(server->pool, MP_EVENT_RESET_WORKS);
  server->reset_refused = false;
  server->reset_refusals = server->reset_failures = 0;
}

static void count_refusal(struct server *server) {
  if (++server->reset_refusals < REFUSALS_TOLD)
    return;
  server->reset_refused = true;
  server->reset_ask_at_ns = add_time(pool_now(server->pool), ask_again_ns);
  tell(server->pool, MP_EVENT_RESET_REFUSED);
}

static void count_failure(struct server *server, const mp_error *err) {
  memcpy(server->reset_failure, err->message, sizeof server->reset_failure);
  if (++server->reset_failures == FAILURES_TOLD)
    tell(server->pool, MP_EVENT_RESET_FAILING);
}

void server_after_failed_reset(const mp_slot *slot, const mp_error *err) {
  struct server *server = slot->server;
  server->pool->stats.resets_failed++;
  if (server->reset_refused)
    return;
  if (is_refusal(slot, err))
    count_refusal(server);
  else
    count_failure(server, err);
}

bool server_has_refused_resets(const struct server *server) {
  return server->reset_refused;
}

bool server_may_reset(struct server *server) {
  if (!server->reset_refused)
    return true;
  int64_t now_ns = pool_now(server->pool);
  if (now_ns < server->reset_ask_at_ns)
    return false;
  server->reset_ask_at_ns = add_time(now_ns, ask_again_ns);
  return true;
}
