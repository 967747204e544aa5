/* Knows one server, and decides by that. While it is down it is barred: it is tried with growing, random
   pauses between. When it is back: with each that succeeds, one more at a time. Resets that fail: a server or
   proxy that knows none says so; then sessions are closed where they would have been reset. Resets that fail
   for other reasons are sent all the same, and the pool's user is told. No such verdict lasts: the server may
   be another one by now. */
#include "server.h"

#include "idle.h"
#include "time.h"

/* ---- is it up ---- */

static const int64_t first_pause_ns = 20 * MP_MILLISECOND;
static const int64_t longest_pause_ns = 300 * MP_MILLISECOND;         /* while nothing else can serve */
static const int64_t longest_pause_beside_ns = 1000 * MP_MILLISECOND; /* ... while another server can */
static const int64_t refusal_ns = 30 * MP_SECOND;

const char *server_name(const struct server *server) {
  const mp_driver *driver = server->pool->driver;
  return driver->host_name(driver, server->number);
}

static bool is_alone(const struct server *server) {
  return server->pool->config.hosts == 1;
}

void server_sign(const struct server *server, mp_error *err) {
  if (!is_alone(server))
    err->host = server_name(server);
}

unsigned server_sessions(const struct server *server) {
  return server->counts[SLOT_OPENING] + server->counts[SLOT_IDLE] + server->counts[SLOT_LENT] +
         server->counts[SLOT_RECOVERING];
}

/* Up to half of the pause is left off at random: other pools wait as well. */
static int64_t pause_ns(const struct server *server, int64_t longest_ns) {
  int64_t pause = first_pause_ns;
  for (unsigned i = 1; i < server->failures && pause < longest_ns; i++)
    pause *= 2;
  if (pause > longest_ns)
    pause = longest_ns;
  return pause / 2 + (int64_t)pool_random(server->pool, (uint64_t)pause / 2 + 1);
}

/* Where a program has something to do with it: of a single server the errors tell enough. */
static void tell_news(struct server *server, unsigned news) {
  if (is_alone(server))
    return;
  server->news = (server->news & ~(unsigned)MP_HOST_WELL) | news;
  server->pool->events |= MP_EVENT_NEWS;
}

static void begin_bar(struct server *server) {
  if (server_is_barred(server))
    return;
  server->barred_since_ns = pool_now(server->pool);
  server->tries.count = 0;
  server->stats.barred++;
  tell_news(server, MP_HOST_BARRED);
}

/* An attempt that takes long is a dear one, and is made the less often. */
void server_bar(struct server *server, const mp_error *err, int64_t took_ns) {
  int64_t now_ns = pool_now(server->pool);
  begin_bar(server);
  server->successes = 0;
  server->refuses = false;
  server->failures++;
  server->last_failure = *err;
  server->retry_at_ns = later(add_time(now_ns, pause_ns(server, longest_pause_ns)), server->avoid_until_ns);
  int64_t pause = is_alone(server) ? 0 : later(pause_ns(server, longest_pause_beside_ns), 4 * took_ns);
  server->probe_at_ns = later(add_time(now_ns, pause), server->avoid_until_ns);
}

/* A server that refuses for good does answer: where there is no other, whoever comes next is told the same at
   once. */
static void refuse(struct server *server, const mp_error *err) {
  begin_bar(server);
  server->failures = 0;
  server->refuses = true;
  server->last_failure = *err;
  server->retry_at_ns = server->probe_at_ns =
      later(add_time(pool_now(server->pool), refusal_ns), server->avoid_until_ns);
}

/* ---- may it write ---- */

/* Statements of init SQL and on_connect may say the same. */
static bool is_about_writing(const struct server *server, const mp_error *err) {
  return server->pool->config.need != MP_NEED_NOTHING && err->code == MP_ER_READ_ONLY_MODE;
}

static void learn(struct server *server, const mp_session *session) {
  const mp_driver *driver = server->pool->driver;
  if (server->pool->config.need != MP_NEED_NOTHING && driver->is_writable)
    server->writable = driver->is_writable(session) ? MP_WRITABLE_YES : MP_WRITABLE_NO;
}

/* It is not what its sessions were opened for; the next connect shows what it is now. */
static void after_change(struct server *server, const mp_error *err) {
  if (server->pool->config.need == MP_NEED_WRITE) {
    server->writable = MP_WRITABLE_NO;
    server_distrust(server, err);
  } else {
    server->writable = MP_WRITABLE_UNKNOWN;
    server_outdate_sessions(server);
  }
}

/* ---- connects ---- */

static void count_try(struct server *server, int64_t took_ns) {
  if (server->tries.count++ == 0)
    server->tries.since_ns = pool_now(server->pool) - took_ns;
}

/* One that stood still may do so again at once, and swallows what is sent to it meanwhile. */
enum { PROOFS = 2 };

void server_after_failed_open(struct server *server, const mp_error *err, int64_t took_ns) {
  if (is_about_writing(server, err))
    server->writable = MP_WRITABLE_NO;
  server->pool->stats.connect_failures++;
  server->stats.failures++;
  server->successes = 0;
  if (server->silence.proofs > 0)
    server->silence.proofs = PROOFS;
  if (err->retryable)
    server_bar(server, err, took_ns);
  else
    refuse(server, err);
  count_try(server, took_ns);
}

static void end_bar(struct server *server) {
  if (!server_is_barred(server))
    return;
  server->failures = 0;
  server->refuses = false;
  server->silence.proofs = 0;
  server->was_barred_ns = pool_now(server->pool) - server->barred_since_ns;
  server->pool->no_host_told = false;
  tell_news(server, server->news | MP_HOST_WELL);
}

/* A server that has just come back is slow, and other pools have waited for it as well: so each connect that
   succeeds allows one more at a time. */
void server_after_open(struct server *server, const mp_session *session) {
  server->met = true;
  learn(server, session);
  if (server->avoid_until_ns > pool_now(server->pool))
    return;
  if (server->failures > 0 || server->successes > 0)
    server->successes++;
  if (server->successes >= server->pool->config.max_size)
    server->successes = 0;
  end_bar(server);
}

void server_outdate_sessions(struct server *server) {
  server->generation++;
  idle_expect_end(server->pool);
}

/* One that is barred already is left to its pauses, by which others wait. */
void server_distrust(struct server *server, const mp_error *err) {
  if (!server_is_barred(server))
    server_bar(server, err, 0);
  server_outdate_sessions(server);
}

void server_distrust_silent(struct server *server, const mp_error *err) {
  server_distrust(server, err);
  server->silence.asked_ns = 0;
  server->silence.proofs = PROOFS;
}

bool server_needs_proof(struct server *server) {
  if (server->silence.proofs <= 1)
    return false;
  server->silence.proofs--;
  server->probe_at_ns = add_time(pool_now(server->pool), server->pool->config.silence_ns);
  return true;
}

void server_hear(struct server *server) {
  server->silence.heard_ns = pool_now(server->pool);
  server->silence.asked_ns = 0;
  server->silence.patience_ns = server->pool->config.silence_ns;
}

static const int64_t longest_patience_ns = 30 * MP_SECOND;

/* It is there and busy: the less often it is asked again. */
void server_prove(struct server *server) {
  int64_t patience_ns = server->silence.patience_ns;
  server_hear(server);
  server->silence.patience_ns = later(patience_ns, earlier(2 * patience_ns, longest_patience_ns));
}

void server_avoid(struct server *server, int64_t duration_ns) {
  mp_error wish = {.kind = MP_ERR_CONNECT, .retryable = true, .message = "avoided, as the program asked for"};
  server->avoid_until_ns = duration_ns > 0 ? add_time(pool_now(server->pool), duration_ns) : 0;
  if (duration_ns > 0)
    server_bar(server, &wish, 0);
  else
    end_bar(server);
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
  memcpy(server->pool->reset_failure, err->message, sizeof server->pool->reset_failure);
  if (++server->reset_failures == FAILURES_TOLD)
    tell(server->pool, MP_EVENT_RESET_FAILING);
}

/* A node that may not serve, or a server that is silent; a session that was killed proves nothing. */
static bool is_about_the_server(const mp_error *err) {
  return err->kind == MP_ERR_TIMEOUT || (err->code == MP_ER_UNKNOWN_COMMAND && strstr(err->message, "WSREP"));
}

void server_after_failed_reset(const mp_slot *slot, mp_error *err) {
  struct server *server = slot->server;
  if (is_about_writing(server, err)) {
    after_change(server, err);
    return;
  }
  bool refused = is_refusal(slot, err);
  server->pool->stats.resets_failed++;
  if (!is_alone(server) && is_about_the_server(err))
    server_distrust(server, err);
  if (refused && err->code == MP_ER_UNKNOWN_COMMAND)
    strcpy(err->message, "the server does not know how to reset a session (it says: Unknown command)");
  if (server->reset_refused)
    return;
  if (refused)
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
