/* A statement that is stopped on the server behind the back of its loan. */
#ifndef MYPOOL_POOL_RECOVER_H
#define MYPOOL_POOL_RECOVER_H

#include "pool.h"

/* The loan has no session then; until the statement is stopped the session is nobody's. False: close it. */
bool recover_begin(mp_loan *loan);

/* Takes the driver's answer when the recovery is over. True: the session is as new; else it was closed. */
bool recover_end(mp_pool *pool, mp_slot *slot, mp_status status);

#endif
