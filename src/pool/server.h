/* What is known of one server: whether it is up, when the next attempt is due, whether it knows resets. */
#ifndef MYPOOL_POOL_SERVER_H
#define MYPOOL_POOL_SERVER_H

#include "pool.h"

/* Whether a session may be opened now. */
bool server_may_open(const struct server *server);

void server_after_open(struct server *server);
void server_after_failed_open(struct server *server, const mp_error *err);

/* Whether a reset should be sent; false: the server does not know how. Call it before each that is sent: from
   time to time one is, to ask again. */
bool server_may_reset(struct server *server);

bool server_has_refused_resets(const struct server *server);

/* Of the session in this slot. */
void server_after_reset(mp_slot *slot);
void server_after_failed_reset(const mp_slot *slot, const mp_error *err);

#endif
