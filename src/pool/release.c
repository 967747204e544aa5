/* The six endings of a loan: released, discarded, lost, abandoned, cut, freed. */
#include "mypool.h"

#include <stdlib.h>

#include "balance.h"
#include "check.h"
#include "checkout.h"
#include "loan.h"
#include "pool_end.h"
#include "probe.h"
#include "queue.h"
#include "recover.h"
#include "reset.h"
#include "slots.h"
#include "sweep.h"
#include "time.h"

static bool may_be_lent_again(const mp_loan *loan, int64_t now_ns) {
  const mp_pool *pool = loan->pool;
  const mp_slot *slot = loan->slot;
  return !pool->closed && loan->operation == OP_NONE && slot_is_reusable(pool, slot, now_ns);
}

/* A session that is being reset already is not given back as it is. */
static bool is_ready_to_leave(mp_loan *loan, bool reset, int64_t now_ns) {
  const mp_driver *driver = loan->pool->driver;
  if (driver->is_at_rest(loan->slot->session))
    return !reset || reset_send(loan, now_ns);
  return driver->is_being_reset(loan->slot->session) && reset_send(loan, now_ns);
}

static void count_time(mp_loan *loan, int64_t now_ns) {
  if (loan->lent_ns != 0)
    loan->pool->stats.lent_ns += now_ns - loan->lent_ns;
  loan->lent_ns = 0;
}

static void give_back(mp_loan *loan, bool reset) {
  mp_pool *pool = loan->pool;
  int64_t now_ns = pool_now(pool);
  count_time(loan, now_ns);
  if (may_be_lent_again(loan, now_ns) && !balance_moves(pool, loan->slot, now_ns) &&
      is_ready_to_leave(loan, reset, now_ns)) {
    loan->slot->released_ns = now_ns;
    slot_move(pool, loan->slot, SLOT_IDLE);
  } else {
    slot_discard(pool, loan->slot);
  }
  queue_serve(pool);
  sweep_outlived(pool, now_ns);
  probe_look(pool);
}

/* ---- the six endings ---- */

/* Of a loan whose session was lost before, nobody has looked at the clock. */
static void end(mp_loan *loan) {
  if (loan->lent_ns != 0)
    count_time(loan, pool_now(loan->pool));
  loan->slot = NULL;
  loan->operation = OP_NONE;
  loan->stage = LOAN_ENDED;
  pool_tell_ended(loan->pool);
}

void mp_loan_release(mp_loan *loan, bool reset) {
  CHECK_WHEN_LEFT(loan->pool);
  loan_end_pause(loan);
  if (!mp_loan_is_held(loan))
    return;
  if (loan_is_acquiring(loan))
    acquire_abandon(loan);
  else if (loan->stage == LOAN_HELD)
    give_back(loan, reset);
  end(loan);
}

void mp_loan_lose(mp_loan *loan) {
  CHECK_WHEN_LEFT(loan->pool);
  if (loan->operation == OP_PAUSE) {
    loan_end_pause(loan);
    return;
  }
  if (!mp_loan_is_held(loan))
    return;
  if (loan_is_acquiring(loan)) {
    acquire_abandon(loan);
  } else if (loan->stage == LOAN_HELD) {
    loan->pool->driver->abort(loan->slot->session);
    loan->slot->lost = true;
  }
  loan->operation = OP_NONE;
}

/* A session at rest is given back as by a release, but never as it is: who was in the middle of something
   may have left a transaction open. A statement would go on in the server, on a connection that the pool no
   longer counts: it is stopped. */
static void give_up_session(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  count_time(loan, pool_now(pool));
  if (loan->operation == OP_NONE && pool->config.reset) {
    give_back(loan, true);
  } else if (!recover_begin(loan)) {
    slot_discard(pool, loan->slot);
    queue_serve(pool);
  }
  loan_spend(loan);
}

void mp_loan_abandon(mp_loan *loan) {
  CHECK_WHEN_LEFT(loan->pool);
  loan_end_pause(loan);
  if (!mp_loan_is_held(loan))
    return;
  if (loan_is_acquiring(loan))
    acquire_abandon(loan);
  else if (loan->stage == LOAN_HELD)
    give_up_session(loan);
  loan->operation = OP_NONE;
  pool_tell_ended(loan->pool);
}

void mp_loan_cut(mp_loan *loan) {
  CHECK_WHEN_LEFT(loan->pool);
  if (loan->stage == LOAN_HELD)
    loan->pool->driver->abort(loan->slot->session);
}

void mp_loan_discard(mp_loan *loan) {
  CHECK_WHEN_LEFT(loan->pool);
  loan_end_pause(loan);
  if (!mp_loan_is_held(loan))
    return;
  mp_loan_lose(loan);
  mp_loan_release(loan, false);
}

void mp_loan_free(mp_loan *loan) {
  if (!loan)
    return;
  mp_loan_release(loan, true);
  pool_drop_loan(loan->pool);
  free(loan);
}
