/* A pause of the caller's. */
#ifndef MYPOOL_POOL_PAUSE_H
#define MYPOOL_POOL_PAUSE_H

#include "pool.h"

mp_status pause_step(mp_loan *loan, mp_wait *wait);

#endif
