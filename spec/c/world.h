/* What each promise about the pool begins with: a pool on the fake driver, and loans. After
   every step the pool's books are checked; at the end nothing may have leaked. */
#ifndef MYPOOL_WORLD_H
#define MYPOOL_WORLD_H

#include "fake.h"
#include "pool.h"
#include "spec.h"

/* An operation is unfinished. */
static inline bool is_busy(const mp_loan *loan) {
  return loan->operation != OP_NONE;
}

extern mp_pool_config config; /* change it before open_pool */
extern mp_pool *pool;

/* What the last operation of any loan answered. */
extern struct last {
  mp_status status;
  mp_wait wait;
  mp_error err;
  mp_row row;
  bool more;
} last;

/* From now on pools unpark those who wait for a turn. While nobody hears it, they cannot. */
void wait_in_memory(void);
extern bool nobody_hears;

/* What was waited for: an event of the driver's, or that the loan was unparked. */
bool has_come(mp_wait wait);

void open_pool(void);
void close_pool(void);
void drop_pool(void); /* the creator gives it up */

mp_loan *new_loan(void);
mp_loan *lend(void);              /* a checkout that must succeed at once */
mp_loan *ask(int64_t timeout_ns); /* a checkout, begun */
mp_loan *ask_and_wait(void);      /* ... for five seconds, which must wait */
mp_status checkout(mp_loan *loan, int64_t timeout_ns);
mp_status step(mp_loan *loan);
mp_status query(mp_loan *loan);
mp_status query_for(mp_loan *loan, int64_t timeout_ns);
mp_status query_idempotent(mp_loan *loan);
mp_status query_last(mp_loan *loan);    /* nothing but its release follows */
mp_status query_written(mp_loan *loan); /* for the mode of its session */
mp_status ask_mode(mp_loan *loan, int64_t timeout_ns);
mp_status query_as_asked(mp_loan *loan); /* within the time of ask_mode */
mp_status ping(mp_loan *loan);
mp_status fetch(mp_loan *loan);
mp_status next_result(mp_loan *loan);
mp_status reset(mp_loan *loan);
mp_status pause_for(mp_loan *loan, int64_t duration_ns);
void record(mp_loan *loan, bool on);
void release(mp_loan *loan);
void release_as_it_is(mp_loan *loan);
void discard(mp_loan *loan);
void lose(mp_loan *loan);
void abandon(mp_loan *loan);
void free_loan(mp_loan *loan);
void evict(void);
void pass(int64_t ns);

/* Lends, uses and releases that many sessions at a time: the last is the newest. */
void make_idle(unsigned count, mp_session **out);
mp_session *make_one_idle(void);

/* The loan has no session any more, as after a lost connection: only its release is of use. */
void expect_of_no_use(mp_loan *loan);

/* Two loans in the middle of a result: one waits for a row of it, the other for the next result. */
void wait_in_results(mp_loan **for_row, mp_loan **for_result);

/* Its statement meets its deadline: the loan is rid of its session. */
mp_session *time_out(mp_loan *loan);
mp_session *make_one_recovering(void); /* ... without a loan */

mp_session *session_of(const mp_loan *loan);
mp_stats stats(void);

/* Hosts go by their numbers. */
unsigned host_of(const mp_loan *loan); /* its session's */
mp_host about(unsigned host);          /* what the pool tells of it */
mp_session *probe_of(unsigned host);   /* NULL: none is under way there */
unsigned use_one(void);                /* lends, runs a statement and gives back; where that was */
void check_pool(void);

/* All loans that are not freed, for the random runs. */
extern mp_loan *loans[256];
mp_wait wait_of(const mp_loan *loan); /* what it was last told to wait for */

#endif
