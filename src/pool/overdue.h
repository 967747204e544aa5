/* Loans that are out for too long. */
#ifndef MYPOOL_POOL_OVERDUE_H
#define MYPOOL_POOL_OVERDUE_H

#include "pool.h"

static inline void overdue_expect_nothing(mp_pool *pool) {
  pool->overdue.at_ns = MP_NEVER;
}

/* The loan has its session from now on. */
void overdue_expect(mp_pool *pool, const mp_loan *loan);

#endif
