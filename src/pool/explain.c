/* Says why a pool cannot serve: all busy, by whom and since when; server down; closed. */
#include "explain.h"

#include <stdio.h>
#include <string.h>

#include "server.h"
#include "servers.h"
#include "time.h"

static const mp_loan *held_by(const mp_slot *slot) {
  return slot->state == SLOT_LENT && slot->loan->stage == LOAN_HELD ? slot->loan : NULL;
}

static const mp_loan *next_oldest(const mp_pool *pool, const mp_loan *after) {
  const mp_loan *found = NULL;
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    const mp_loan *loan = held_by(&pool->slots[i]);
    if (!loan)
      continue;
    if (after && (loan->since_ns < after->since_ns || (loan->since_ns == after->since_ns && loan <= after)))
      continue;
    if (!found || loan->since_ns < found->since_ns || (loan->since_ns == found->since_ns && loan < found))
      found = loan;
  }
  return found;
}

mp_holder holder_of(const mp_loan *loan, int64_t now_ns) {
  return (mp_holder){.label = loan->label, .id = mp_loan_id(loan), .age_ns = now_ns - loan->since_ns};
}

unsigned mp_pool_holders(const mp_pool *pool, mp_holder *holders, unsigned size) {
  int64_t now_ns = pool_now(pool);
  const mp_loan *loan = NULL;
  unsigned count = 0;
  while (count < size && (loan = next_oldest(pool, loan)))
    holders[count++] = holder_of(loan, now_ns);
  return count;
}

bool mp_pool_holder(const mp_pool *pool, unsigned slot, mp_holder *holder) {
  const mp_loan *loan = held_by(&pool->slots[slot]);
  if (!loan)
    return false;
  *holder = holder_of(loan, pool_now(pool));
  return true;
}

const mp_loan *mp_pool_next_in_line(const mp_pool *pool, const mp_loan *after, mp_holder *waiter) {
  const mp_loan *loan = after ? after->turn.next : pool->queue.first;
  if (loan)
    *waiter = (mp_holder){.label = loan->label, .age_ns = pool_now(pool) - loan->turn.since_ns};
  return loan;
}

/* ---- all are lent ---- */

enum { PLACES_TOLD = 3 };

static bool is_of_one(const mp_loan *loan, const mp_loan *const *places, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (strcmp(loan->label, places[i]->label) == 0)
      return true;
  return false;
}

/* The oldest loan of another place than those. */
static const mp_loan *next_place(const mp_pool *pool, const mp_loan *const *places, unsigned count) {
  const mp_loan *found = NULL;
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    const mp_loan *loan = held_by(&pool->slots[i]);
    if (loan && (!found || loan->since_ns < found->since_ns) && !is_of_one(loan, places, count))
      found = loan;
  }
  return found;
}

static unsigned count_of(const mp_pool *pool, const mp_loan *place) {
  unsigned count = 0;
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    const mp_loan *loan = held_by(&pool->slots[i]);
    count += loan && is_of_one(loan, &place, 1);
  }
  return count;
}

/* "f.lua:4 ×30 for up to 2.1 s": the places where they were taken, that of the oldest first. */
static void add_holders(const mp_pool *pool, char *text, size_t size) {
  const mp_loan *places[PLACES_TOLD];
  for (unsigned i = 0; i < PLACES_TOLD && (places[i] = next_place(pool, places, i)); i++) {
    size_t used = strlen(text);
    unsigned count = count_of(pool, places[i]);
    char times[24] = "";
    if (count > 1)
      snprintf(times, sizeof times, " ×%u", count);
    snprintf(text + used, size - used, "%s %.63s%s for %s%.1f s", i == 0 ? ":" : ",",
             *places[i]->label ? places[i]->label : "unnamed", times, count > 1 ? "up to " : "",
             (double)(pool_now(pool) - places[i]->since_ns) / MP_SECOND);
  }
}

/* A connection that the one who asks holds already, NULL when there is none. */
static const mp_loan *own_loan(const mp_loan *asking) {
  const mp_loan *loan = NULL;
  while (asking->owner && (loan = next_oldest(asking->pool, loan)))
    if (loan->owner == asking->owner)
      return loan;
  return NULL;
}

/* `waited`: in words, "" when it did not. */
static mp_status fail_exhausted(const mp_loan *asking, const char *waited, mp_error *err) {
  const mp_pool *pool = asking->pool;
  const mp_loan *own = own_loan(asking);
  const char *name = pool->config.name;
  char holders[320] = "", hint[256] = "";
  add_holders(pool, holders, sizeof holders);
  if (own)
    snprintf(hint, sizeof hint,
             "; this coroutine itself holds one, taken at %.63s: a nested checkout waits for itself: use "
             "that connection (conn, tx) instead of the pool",
             own->label);
  err->retryable = true;
  return mp_fail(err, MP_ERR_EXHAUSTED, 0, "pool %s%s%sexhausted, %u of %u connections are lent%s%s%s",
                 *name ? "'" : "", name, *name ? "' " : "", pool->counts[SLOT_LENT], pool->config.max_size,
                 holders, waited, hint);
}

mp_status explain_exhausted(const mp_loan *asking, mp_error *err) {
  return fail_exhausted(asking, "", err);
}

/* Counts the checkout that is not to stand in line. */
mp_status explain_refused(mp_pool *pool, mp_error *err) {
  const char *name = pool->config.name;
  pool->stats.refused++;
  err->retryable = true;
  return mp_fail(err, MP_ERR_EXHAUSTED, 0,
                 "pool %s%s%sexhausted, %u of %u connections are lent and %u checkouts wait (max_waiting)",
                 *name ? "'" : "", name, *name ? "' " : "", pool->counts[SLOT_LENT], pool->config.max_size,
                 pool->queue.count);
}

mp_status explain_closed(mp_error *err) {
  return mp_fail(err, MP_ERR_CLOSED, 0, "the pool is closed");
}

/* ---- a server that does not answer ---- */

/* "db:3306: Connection refused (tried 6 times in 5.0 s)". */
static void add_reason(const struct server *server, const mp_error *err, char *text, size_t size) {
  char tries[64] = "";
  if (server->tries.count > 1 && !server->refuses)
    snprintf(tries, sizeof tries, " (tried %u times in %.1f s)", server->tries.count,
             (double)(pool_now(server->pool) - server->tries.since_ns) / MP_SECOND);
  snprintf(text, size, "%s: %s%s", server_name(server), err->message, tries);
}

/* The reason of each host, as much of it as there is room for. */
static void add_reasons(const mp_pool *pool, char *text, size_t size) {
  unsigned count = pool->config.hosts;
  for (unsigned i = 0; i < count; i++) {
    size_t used = strlen(text), room = (size - used) / (count - i);
    const char *before = i > 0 ? "; " : "";
    strcpy(text + used, before);
    used += strlen(before);
    add_reason(&pool->servers[i], &pool->servers[i].last_failure, text + used, room - strlen(before));
  }
}

static const char no_connection[] = "cannot connect to ";

/* Of several hosts the first has the number that is told. What a function of the program's has done stands
   for itself. */
mp_status explain_down(const mp_pool *pool, mp_error *err) {
  *err = pool->servers->last_failure;
  err->retryable = !servers_refuse(pool);
  if (pool->config.hosts > 1)
    err->host = NULL;
  if (err->cause == MP_CAUSE_PROGRAM)
    return MP_FAILED;
  strcpy(err->message, no_connection);
  add_reasons(pool, err->message, sizeof err->message);
  return MP_FAILED;
}

mp_status explain_failed(const struct server *server, mp_error *err) {
  mp_error reason = *err;
  if (err->cause == MP_CAUSE_PROGRAM)
    return MP_FAILED;
  strcpy(err->message, no_connection);
  add_reason(server, &reason, err->message + sizeof no_connection - 1,
             sizeof err->message - (sizeof no_connection - 1));
  return MP_FAILED;
}

/* ---- a time limit ---- */

typedef struct limit {
  const char *name; /* the option */
  int64_t ns;
} limit;

/* A first statement that moves to another session has its own limit, and that of a checkout. */
static limit limit_of(const mp_loan *loan) {
  const mp_pool_config *config = &loan->pool->config;
  if (loan->operation == OP_CHECKOUT || loan->deadline_ns < loan->statement.deadline_ns)
    return (limit){"checkout_timeout", loan->timeout_ns};
  if (loan->operation == OP_PING)
    return (limit){"checkout_timeout", loan->statement.timeout_ns};
  if (loan->operation == OP_RESET)
    return (limit){"connect_timeout", config->reset_timeout_ns};
  if (loan->statement.timeout_ns > 0)
    return (limit){"timeout", loan->statement.timeout_ns};
  return (limit){"query_timeout", config->query_timeout_ns};
}

mp_status explain_late(const mp_loan *loan, const char *more, mp_error *err) {
  limit passed = limit_of(loan);
  return mp_fail(err, MP_ERR_TIMEOUT, 0, "no answer within %s s (%s)%s", mp_seconds_of(passed.ns).text,
                 passed.name, more);
}

/* The loan's deadline has passed. */
mp_status explain_expired(mp_loan *loan, mp_error *err) {
  mp_pool *pool = loan->pool;
  char waited[64];
  pool->stats.timeouts++;
  if (servers_are_down(pool))
    return explain_down(pool, err);
  if (loan->stage == LOAN_QUEUED && pool->counts[SLOT_EMPTY] == 0) {
    snprintf(waited, sizeof waited, " (waited %.1f s)", (double)limit_of(loan).ns / MP_SECOND);
    return fail_exhausted(loan, waited, err);
  }
  err->retryable = true;
  return explain_late(loan, "", err);
}
