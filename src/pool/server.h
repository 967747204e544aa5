/* One server: is it up, when is the next attempt due, does it know resets. */
#ifndef MYPOOL_POOL_SERVER_H
#define MYPOOL_POOL_SERVER_H

#include "pool.h"

/* A session may be opened now. */
bool server_may_open(const struct server *server);

void server_after_open(struct server *server);
void server_after_failed_open(struct server *server, const mp_error *err);

/* A reset should be sent; false: the server does not know how. Call it before each that is sent: from time to
   time one is, to ask again. */
bool server_may_reset(struct server *server);

bool server_has_refused_resets(const struct server *server);

/* The session in this slot has answered a reset, or failed to. */
void server_after_reset(mp_slot *slot);
void server_after_failed_reset(const mp_slot *slot, const mp_error *err);

#endif
