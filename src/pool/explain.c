/* Says why a pool cannot serve: all busy, by whom and since when; server down; closed. */
#include "explain.h"

#include <stdio.h>
#include <string.h>

#include "server.h"
#include "servers.h"
#include "time.h"

static const mp_loan *next_oldest(const mp_pool *pool, const mp_loan *after) {
  const mp_loan *found = NULL;
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    const mp_loan *loan = pool->slots[i].state == SLOT_LENT ? pool->slots[i].loan : NULL;
    if (!loan || loan->stage != LOAN_HELD)
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
  const mp_loan *loan = pool->slots[slot].state == SLOT_LENT ? pool->slots[slot].loan : NULL;
  if (!loan || loan->stage != LOAN_HELD)
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

static void add_holders(const mp_pool *pool, char *text, size_t size) {
  mp_holder holders[3];
  unsigned count = mp_pool_holders(pool, holders, 3);
  for (unsigned i = 0; i < count; i++) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s %.63s for %.1f s", i == 0 ? ":" : ",",
             *holders[i].label ? holders[i].label : "unnamed", (double)holders[i].age_ns / MP_SECOND);
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

/* `asking`: the loan that got no session. */
mp_status explain_exhausted(const mp_loan *asking, mp_error *err) {
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
  return mp_fail(err, MP_ERR_EXHAUSTED, 0, "pool %s%s%sexhausted, %u of %u connections are lent%s%s",
                 *name ? "'" : "", name, *name ? "' " : "", pool->counts[SLOT_LENT], pool->config.max_size,
                 holders, hint);
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

/* The reason of each host, as much of it as there is room for. */
static void add_reasons(const mp_pool *pool, char *text, size_t size) {
  unsigned count = pool->config.hosts;
  for (unsigned i = 0; i < count; i++) {
    const struct server *server = &pool->servers[i];
    size_t used = strlen(text), room = (size - used) / (count - i);
    snprintf(text + used, room, "%s %s: %s", i == 0 ? ":" : ";", server_name(server),
             server->last_failure.message);
  }
}

/* Of several hosts the first has the number that is told. */
mp_status explain_down(const mp_pool *pool, mp_error *err) {
  *err = pool->servers->last_failure;
  err->retryable = !servers_refuse(pool);
  if (pool->config.hosts == 1)
    return MP_FAILED;
  err->host = NULL;
  strcpy(err->message, "no host can be used");
  add_reasons(pool, err->message, sizeof err->message);
  return MP_FAILED;
}

/* The loan's deadline has passed. */
mp_status explain_expired(mp_loan *loan, mp_error *err) {
  mp_pool *pool = loan->pool;
  pool->stats.timeouts++;
  if (servers_are_down(pool))
    return explain_down(pool, err);
  if (loan->stage == LOAN_QUEUED && pool->counts[SLOT_EMPTY] == 0)
    return explain_exhausted(loan, err);
  err->retryable = true;
  return mp_fail(err, MP_ERR_TIMEOUT, 0, "no connection was ready in time");
}
