/* The invariants of the pool. */
#include "check.h"

#ifdef MYPOOL_CHECK

#include <stdio.h>
#include <stdlib.h>

#include "idle.h"
#include "loan.h"
#include "servers.h"
#include "slots.h"
#include "time.h"

/* The invariants in words, by their numbers. */
static const char *const invariants[] = {
    [1] = "each state's count is the number of slots in it; together they are max_size",
    [2] = "an EMPTY slot has neither session nor loan",
    [3] = "an IDLE slot has a session and no loan",
    [4] = "a LENT slot has a session and a loan",
    [5] = "an OPENING slot has a session or a loan",
    [6] = "a RECOVERING slot has a session",
    [7] = "a slot's loan points back to it, as its slot or as the one that it left",
    [8] = "opened - closed = idle + lent + recovering",
    [9] = "the idle list holds the IDLE slots, linked both ways",
    [10] = "no idle session's time is over before the idle list expects one's to be",
    [11] = "the queue holds the QUEUED loans in the order of their tickets, linked both ways, without slots",
    [12] = "while anybody waits in the queue, nothing that could serve is idle",
    [13] = "a loan has a wake-up, or waits in memory, while it is in the queue or pauses, and else neither",
    [14] = "a loan that has its session has read all replies to the session's reset",
    [15] = "a loan's stage fits the state of its slot; none is SEEKING between two calls",
    [16] = "a closed pool has no idle slot, and none that is OPENING or RECOVERING without a loan",
    [17] = "an idle session is neither lost nor to be retired, nor is its baseline half made",
    [18] = "what waits for a connect or a recovery, and may be handed another slot, is in OPENING",
    [19] = "where an IDLE session has replies to a reset pending, its slot knows of the reset",
};

static void require(bool holds, unsigned number) {
  if (holds)
    return;
  fprintf(stderr, "mypool: invariant %u of the pool is broken: %s\n", number, invariants[number]);
  abort();
}

/* ---- slots ---- */

/* Whoever is being unparked, or has been, is asleep until its next step. */
static bool is_listening(const mp_loan *loan) {
  return loan->pool->config.unpark ? loan->asleep : loan->wakeup_fd >= 0;
}

static void check_loan_of(const mp_slot *slot) {
  const mp_loan *loan = slot->loan;
  bool left = loan->left == slot, pausing = loan->operation == OP_PAUSE;
  bool lent = slot->state == SLOT_LENT;
  require(left || loan->slot == slot, 7);
  bool listens = pausing || (loan->stage == LOAN_HANDED && !loan->left);
  require(is_listening(loan) == listens, 13);
  require(loan->stage != LOAN_HELD || !slot->reset.pending, 14);
  require(!loan->parked || loan->stage == LOAN_OPENING, 18);
  if (loan->stage == LOAN_HELD || loan->stage == LOAN_RESETTING)
    require(lent, 15);
  else if (loan->stage == LOAN_OPENING)
    require(!lent, 15);
  else
    require(loan->stage == LOAN_HANDED, 15);
}

static void check_slot(const mp_slot *slot) {
  bool session = slot->session != NULL, loan = slot->loan != NULL;
  require(slot->state != SLOT_EMPTY || (!session && !loan), 2);
  require(slot->state != SLOT_IDLE || (session && !loan), 3);
  require(slot->state != SLOT_LENT || (session && loan), 4);
  require(slot->state != SLOT_OPENING || session || loan, 5);
  require(slot->state != SLOT_RECOVERING || session, 6);
  if (loan)
    check_loan_of(slot);
}

static void check_slots(const mp_pool *pool) {
  unsigned counts[SLOT_STATES] = {0};
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    check_slot(&pool->slots[i]);
    counts[pool->slots[i].state]++;
  }
  for (unsigned state = 0; state < SLOT_STATES; state++)
    require(counts[state] == pool->counts[state], 1);
  require(pool->stats.opened - pool->stats.closed ==
              (uint64_t)counts[SLOT_IDLE] + counts[SLOT_LENT] + counts[SLOT_RECOVERING],
          8);
}

/* ---- the idle list ---- */

static void check_idle(const mp_pool *pool) {
  unsigned count = 0;
  const mp_slot *newer = NULL;
  for (const mp_slot *slot = pool->idle.newest; slot; newer = slot, slot = slot->older, count++) {
    require(slot->state == SLOT_IDLE && slot->newer == newer, 9);
    require(pool->idle.ends_ns <= earlier(slot->expires_ns, add_time(slot->released_ns, slot->idle_limit_ns)),
            10);
    require(!slot->lost && !slot->retire && !slot->recording, 17);
    require(slot->reset.pending || !pool->driver->is_being_reset(slot->session), 19);
  }
  require(pool->idle.oldest == newer && count == pool->counts[SLOT_IDLE], 9);
}

/* ---- the queue ---- */

static void check_queue(const mp_pool *pool) {
  unsigned count = 0;
  const mp_loan *previous = NULL;
  for (const mp_loan *loan = pool->queue.first; loan; previous = loan, loan = loan->turn.next, count++) {
    require(loan->stage == LOAN_QUEUED && loan->turn.previous == previous && !loan->slot, 11);
    require(!previous || previous->turn.ticket < loan->turn.ticket, 11);
    require(is_listening(loan), 13);
  }
  require(pool->queue.last == previous && count == pool->queue.count, 11);
}

static bool has_orphan(const mp_pool *pool) {
  for (unsigned i = 0; i < pool->config.max_size; i++) {
    const mp_slot *slot = &pool->slots[i];
    if ((slot->state == SLOT_OPENING || slot->state == SLOT_RECOVERING) && !slot->loan)
      return true;
  }
  return false;
}

/* A free slot serves nobody while the server is down, or while another is tried first. */
static bool is_free_for_use(const mp_pool *pool) {
  return pool->counts[SLOT_EMPTY] > 0 && pool->counts[SLOT_OPENING] == 0 && !servers_are_down(pool);
}

static void check_service(const mp_pool *pool) {
  if (pool->closed)
    require(!pool->idle.newest && !has_orphan(pool), 16);
  else if (pool->queue.first)
    require(!pool->idle.newest && !has_orphan(pool) && !is_free_for_use(pool), 12);
}

void pool_check(const mp_pool *pool) {
  check_slots(pool);
  check_idle(pool);
  check_queue(pool);
  check_service(pool);
}

mp_pool *pool_check_enter(mp_pool *pool) {
  pool->check.calls++;
  return pool;
}

/* A long queue is not looked at after each call: for ten thousand loans that wait that would be ten thousand
   squared. */
static bool is_look_due(mp_pool *pool) {
  if (pool->queue.count > 100 && ++pool->check.unchecked < pool->queue.count)
    return false;
  pool->check.unchecked = 0;
  return true;
}

void pool_check_leave(mp_pool **pool) {
  if (--(*pool)->check.calls == 0 && is_look_due(*pool))
    pool_check(*pool);
}

#endif
