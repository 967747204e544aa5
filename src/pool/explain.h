/* Says why a pool cannot serve. */
#ifndef MYPOOL_POOL_EXPLAIN_H
#define MYPOOL_POOL_EXPLAIN_H

#include "pool.h"

/* `loan`: the one that got no session. */
mp_status explain_refused(mp_pool *pool, mp_error *err);
mp_status explain_exhausted(const mp_loan *loan, mp_error *err);
mp_status explain_closed(mp_error *err);

/* The time limit of what the loan does has passed; `more` is what is to be said behind that. */
mp_status explain_late(const mp_loan *loan, const char *more, mp_error *err);

/* A connect to this server has failed as *err says, and nothing else will be tried. */
mp_status explain_failed(const struct server *server, mp_error *err);

/* All servers are barred. */
mp_status explain_down(const mp_pool *pool, mp_error *err);

/* The deadline of its checkout has passed. */
mp_status explain_expired(mp_loan *loan, mp_error *err);

mp_holder holder_of(const mp_loan *loan, int64_t now_ns);

#endif
