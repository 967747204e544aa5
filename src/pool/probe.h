/* Barred servers are tried beside the work. */
#ifndef MYPOOL_POOL_PROBE_H
#define MYPOOL_POOL_PROBE_H

#include "pool.h"

/* Begins the attempts that are due, and looks at those under way. Call it at each checkout and each release:
   there is no timer. */
void probe_look(mp_pool *pool);

/* Begins one at this server, beside the work, which none may be under way at; looks at one that is. */
void probe_begin(mp_pool *pool, struct server *server);
void probe_go_on(mp_pool *pool, struct server *server);

/* Closes those under way. */
void probe_close_all(mp_pool *pool);

#endif
