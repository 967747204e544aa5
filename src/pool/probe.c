/* Barred servers are tried beside the work: by a connect that nobody waits for, outside of max_size, while
   another server serves. One that succeeds ends the bar, and its session is kept where a slot is free. While
   all are barred those who wait try them themselves. */
#include "probe.h"

#include "queue.h"
#include "retry.h"
#include "server.h"
#include "servers.h"
#include "slots.h"
#include "time.h"

static void close_session(mp_pool *pool, mp_session *session) {
  slot_count_connect(pool, session);
  if (session)
    pool->driver->close(session);
}

static void keep(mp_pool *pool, struct server *server, mp_session *session) {
  mp_slot *slot = slot_find(pool, SLOT_EMPTY);
  if (!slot || server_is_barred(server)) {
    close_session(pool, session);
    return;
  }
  slot->server = server;
  slot->session = session;
  slot_begin_open(slot);
  slot->generation = server->probe.generation;
  slot_move(pool, slot, SLOT_OPENING);
  slot_after_open(pool, slot);
  slot_make_idle(pool, slot);
}

static void after_success(mp_pool *pool, struct server *server, mp_session *session) {
  server_prove(server);
  if (server_needs_proof(server)) {
    close_session(pool, session);
    return;
  }
  server_after_open(server, session);
  keep(pool, server, session);
  queue_serve(pool);
}

/* The end of an attempt may be seen long after it, so what counts is how long it was seen to take. */
static void after_probe(mp_pool *pool, struct server *server, mp_status status, mp_error *err) {
  mp_session *session = server->probe.session;
  if (status == MP_WAIT) {
    server->probe.seen_ns = pool_now(pool);
    return;
  }
  server->probe.session = NULL;
  server->probe.begun = false;
  if (status == MP_DONE) {
    after_success(pool, server, session);
    return;
  }
  judge_connect(err);
  close_session(pool, session);
  if (is_answered(err) || !err->retryable) /* else the server may not be there */
    server_prove(server);
  server_after_failed_open(server, err, server->probe.seen_ns - server->probe.since_ns);
}

/* The function for the password, which is the program's, may come back here, and close the pool. */
void probe_begin(mp_pool *pool, struct server *server) {
  mp_driver *driver = pool->driver;
  mp_session *session = NULL;
  mp_error err = {0};
  server->probe.begun = true;
  server->probe.since_ns = server->probe.seen_ns = pool_now(pool);
  server->probe.generation = pool->generation + server->generation;
  mp_status status = driver->open(driver, server->number, true, MP_NEVER, &session, &err);
  if (pool->closed) {
    close_session(pool, session);
    return;
  }
  server->probe.session = session;
  after_probe(pool, server, status, &err);
}

void probe_go_on(mp_pool *pool, struct server *server) {
  mp_error err = {0};
  if (server->probe.session)
    after_probe(pool, server, pool->driver->step(server->probe.session, &err), &err);
}

static void look_at(mp_pool *pool, struct server *server) {
  probe_go_on(pool, server);
  if (!server->probe.begun && servers_has_better(pool, server) && pool_now(pool) >= server->probe_at_ns)
    probe_begin(pool, server);
}

void probe_look(mp_pool *pool) {
  unsigned count = pool->config.hosts;
  for (unsigned i = 0; count > 1 && i < count && !pool->closed; i++)
    look_at(pool, &pool->servers[i]);
}

void probe_close_all(mp_pool *pool) {
  for (unsigned i = 0; i < pool->config.hosts; i++) {
    close_session(pool, pool->servers[i].probe.session);
    pool->servers[i].probe.session = NULL;
  }
}
