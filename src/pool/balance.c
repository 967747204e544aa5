/* Sessions go to where the balance wants them: back to a server that was down, above all. */
#include "balance.h"

#include "servers.h"

/* One after the other, so that a server that has just come back is not asked for all sessions at once. */
static const int64_t between_moves_ns = 50 * MP_MILLISECOND;

bool balance_moves(mp_pool *pool, mp_slot *slot, int64_t now_ns) {
  if (pool->config.hosts == 1 || now_ns - pool->moved_ns < between_moves_ns ||
      !servers_want_elsewhere(pool, slot->server))
    return false;
  pool->moved_ns = now_ns;
  slot->expires_ns = now_ns;
  return true;
}
