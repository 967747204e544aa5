/* Barred servers are tried beside the work. */
#ifndef MYPOOL_POOL_PROBE_H
#define MYPOOL_POOL_PROBE_H

#include "pool.h"

/* Begins the attempts that are due, and looks at those under way. Call it at each checkout and each release:
   there is no timer. */
void probe_look(mp_pool *pool);

/* Closes those under way. */
void probe_close_all(mp_pool *pool);

#endif
