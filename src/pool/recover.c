/* A statement that is stopped on the server behind the back of its loan. */
#include "recover.h"

#include "loan.h"
#include "queue.h"
#include "server.h"
#include "slots.h"
#include "time.h"

/* While the statement is being stopped the session is nobody's. */
bool recover_begin(mp_loan *loan) {
  mp_pool *pool = loan->pool;
  mp_slot *slot = loan->slot;
  mp_error ignored = {0};
  if (pool->closed || slot->lost || !loan_has_statement(loan))
    return false;
  if (pool->driver->recover(slot->session, &ignored) != MP_WAIT)
    return false;
  if (pool->closed) /* by the password function */
    return false;
  loan_spend(loan);
  slot_move(pool, slot, SLOT_RECOVERING);
  queue_serve(pool);
  return true;
}

/* A recovery ends with a reset. False when the session was closed: by its failure, or because
   its time was over anyway. */
bool recover_end(mp_pool *pool, mp_slot *slot, mp_status status) {
  if (status == MP_DONE)
    server_after_reset(slot);
  if (status == MP_DONE && slot_is_reusable(pool, slot, pool_now(pool)))
    return true;
  slot_discard(pool, slot);
  return false;
}
