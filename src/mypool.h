/* The pool and the loan, as whoever binds them to a language sees them. */
#ifndef MYPOOL_H
#define MYPOOL_H

#include "result.h"
#include "sql.h"

/* ---- the pool --------------------------------------------------------------- */

typedef struct mp_driver mp_driver; /* how sessions are made and used; driver.h */
typedef struct mp_pool mp_pool;
typedef struct mp_loan mp_loan;

/* The choice among several servers. */
typedef enum mp_balance {
  MP_BALANCE_FIRST, /* all sessions on the first that is well */
  MP_BALANCE_SPREAD /* evenly on all that are */
} mp_balance;

/* The kind of server that the pool's sessions lead to. */
typedef enum mp_need {
  MP_NEED_NOTHING, /* servers are not asked whether they may write */
  MP_NEED_WRITE,   /* none that is read-only */
  MP_NEED_READ     /* one that is read-only, as long as one of those is well */
} mp_need;

typedef struct mp_pool_config {
  unsigned max_size;   /* sessions at most, at least 1 */
  unsigned hosts;      /* servers that the driver knows, at least 1 */
  mp_balance balance;  /* among them */
  mp_need need;        /* of them, as it was told to the driver */
  unsigned min_idle;   /* idle sessions that idle_timeout leaves alone */
  unsigned retries;    /* further sessions tried before a brand-new one; 0: no retry at all */
  bool reset;          /* reset sessions at release */
  bool reset_together; /* ... or before, with a statement that the loan says is its last */
  bool hooked;         /* new sessions are shown to the user: see mp_loan_is_fresh */
  bool may_queue;      /* a checkout may wait for a release: false in plain blocking programs */
  bool bounded_queue;  /* a checkout that would be one more than max_waiting in line is refused */
  unsigned max_waiting;
  int64_t idle_timeout_ns;  /* retire sessions idle for longer */
  int64_t max_lifetime_ns;  /* retire sessions older than this, minus up to 10 % at random */
  int64_t query_timeout_ns; /* for statements that name none; MP_NEVER: unlimited */
  int64_t reset_timeout_ns; /* for the replies to a reset, from its sending; then the session is closed */
  int64_t silence_ns; /* a server that awaited answers leave out for so long is asked whether it is there; 0:
                         never */
  int64_t leak_after_ns; /* report loans that are out for longer; MP_NEVER or 0: none */
  char name[32];         /* for messages; "" when it has none */
  uint64_t seed;         /* of the jitter */
  /* Wakes whoever waits in memory for this loan, which then steps it; more often than is needed, maybe. It is
     called within functions of the pool, and may call others. False: it could not now, and is called again.
     NULL: loans wait for each other by descriptors. */
  bool (*unpark)(void *context, mp_loan *loan);
  void *context;
} mp_pool_config;

/* Counters since the pool was made; those before `checkouts` are the state right now. */
typedef struct mp_stats {
  unsigned size, idle, lent, opening, recovering, waiting;
  unsigned max_size;         /* the option */
  uint64_t checkouts;        /* loans begun */
  uint64_t opened, closed;   /* sessions; opened - closed = idle + lent + recovering */
  uint64_t connect_failures; /* attempts that opened no session */
  uint64_t stale;            /* sessions found dead while they were idle */
  uint64_t expired;          /* closed by idle_timeout */
  uint64_t retired;          /* closed by max_lifetime or evict */
  uint64_t discarded;        /* closed at the end of a loan instead of being reset */
  uint64_t retries;          /* sessions replaced unseen under a checkout or a first statement */
  uint64_t timeouts;         /* checkouts and statements that met their deadline */
  uint64_t refused;          /* checkouts that found max_waiting in line */
  uint64_t resets_sent, resets_together, resets_hidden, resets_waited, resets_failed;
  int64_t reset_wait_ns; /* spent by checkouts on replies that were not there yet */
  uint64_t waits;        /* checkouts that stood in line as all slots were taken, in vain or not ... */
  int64_t wait_ns;       /* ... and how long */
  int64_t lent_ns;       /* of loans that ended */
  int64_t connect_ns;    /* of connects, whatever became of them */
} mp_stats;

/* Makes a pool; no I/O. Takes over `driver`, also when it fails, which it does
   (NULL) only for want of memory. The pool lives until mp_pool_unref and the end
   of its last loan. */
mp_pool *mp_pool_new(const mp_pool_config *config, mp_driver *driver);

/* Closes the pool if that was not done, and gives up the creator's hold on it. */
void mp_pool_unref(mp_pool *pool);

/* No more checkouts; idle sessions are closed now, lent ones when they come back.
   Waiters fail with MP_ERR_CLOSED. Closing twice is quiet. */
void mp_pool_close(mp_pool *pool);

/* Ends what is still lent after mp_pool_close: further statements of those loans
   fail with MP_ERR_CLOSED. */
void mp_pool_abort(mp_pool *pool);

/* The option, "" when it has none. As long as the pool lives. */
const char *mp_pool_name(const mp_pool *pool);

bool mp_pool_is_closed(const mp_pool *pool);

/* Retires every session: idle ones now, lent ones at their release. */
void mp_pool_evict(mp_pool *pool);

void mp_pool_stats(const mp_pool *pool, mp_stats *stats);

/* ---- its hosts: those of its servers, numbered from 0 ---- */

typedef enum mp_standing {
  MP_STANDING_UNKNOWN, /* no connect has ended yet */
  MP_STANDING_WELL,
  MP_STANDING_BARRED /* no session is opened there while another host is not barred, but to try it */
} mp_standing;

/* By the server's own word, with a need. */
typedef enum mp_writable { MP_WRITABLE_UNKNOWN, MP_WRITABLE_NO, MP_WRITABLE_YES } mp_writable;

typedef struct mp_host {
  const char *name; /* as long as the pool lives */
  mp_standing standing;
  mp_writable writable;
  unsigned sessions, lent; /* now */
  uint64_t opened;         /* sessions */
  uint64_t failures;       /* connects that failed */
  uint64_t moved;          /* statements and checkouts that went elsewhere when a session of it failed them */
  uint64_t barred;         /* times */
  int64_t retry_in_ns;     /* of a barred one: the next attempt */
  const char *last_failure; /* in words, "" when there was none; until the next */
  int64_t barred_ns;        /* how long it has been, or was the last time */
} mp_host;

unsigned mp_pool_hosts(const mp_pool *pool);
void mp_pool_host(const mp_pool *pool, unsigned number, mp_host *host);

/* Retires the sessions of one host, as mp_pool_evict does those of all. */
void mp_pool_evict_host(mp_pool *pool, unsigned number);

/* Bars a host for so long, and retires its sessions; 0 ends that. */
void mp_pool_avoid(mp_pool *pool, unsigned number, int64_t duration_ns);

/* Something that has happened to a host and was not told yet, of a pool with several: MP_HOST_BARRED,
   MP_HOST_WELL, or 0 when there is nothing more. */
enum { MP_HOST_BARRED = 1, MP_HOST_WELL = 2 };
unsigned mp_pool_next_news(mp_pool *pool, unsigned *number);

/* Events since they were last asked for, as a set of bits. */
enum {
  MP_EVENT_RESET_REFUSED = 1, /* the server knows no reset: sessions are closed instead */
  MP_EVENT_RESET_FAILING = 2, /* several in a row, for other reasons */
  MP_EVENT_RESET_WORKS = 4,   /* again, after one of these; later than they in one set */
  MP_EVENT_NEWS = 8,          /* mp_pool_next_news has something */
  MP_EVENT_NO_HOST = 16       /* all hosts were barred, of several */
};
unsigned mp_pool_take_events(mp_pool *pool);

/* Why the last reset failed that did, in words; "" when none has. Holds until the next. */
const char *mp_pool_reset_failure(const mp_pool *pool);

/* A loan that is out. */
typedef struct mp_holder {
  const char *label; /* where it was taken; holds until the loan is freed */
  uint64_t id;       /* the server's connection id; 0 when the session is lost */
  int64_t age_ns;
} mp_holder;

/* Up to `size` of those that are out, the oldest first. Returns how many. */
unsigned mp_pool_holders(const mp_pool *pool, mp_holder *holders, unsigned size);

/* Who has the slot of this number, below max_size; false when nobody does. */
bool mp_pool_holder(const mp_pool *pool, unsigned slot, mp_holder *holder);

/* The one that stands in line behind `after`, the first for NULL, with the time since it came there; NULL
   behind the last. */
const mp_loan *mp_pool_next_in_line(const mp_pool *pool, const mp_loan *after, mp_holder *waiter);

/* The next loan that is out for longer than leak_after_ns and was not reported before; false when
   there is none. Costs nothing worth mentioning until one can be overdue. */
bool mp_pool_next_overdue(mp_pool *pool, mp_holder *holder);

/* The driver's clock. */
int64_t mp_pool_now(const mp_pool *pool);

/* The fd that becomes readable whenever a loan ends after mp_pool_close; -1 when no
   descriptor could be had. For an operation that waits for the last loan: it calls this again
   before each wait, for asking makes the fd unreadable while anything is still out. */
int mp_pool_ended_fd(mp_pool *pool);

/* ---- the loan ----------------------------------------------------------------
   One checkout, from start to release. Each operation that may wait is begun by
   its function and continued by mp_loan_step until it says something other than
   MP_WAIT. Beginning one while another is unfinished gives the session up. */

/* NULL only for want of memory. Free it with mp_loan_free, which also releases. */
mp_loan *mp_loan_new(mp_pool *pool);

/* Ends the loan as mp_loan_release would, giving up a session in the middle of an
   operation, and frees it. NULL is fine. */
void mp_loan_free(mp_loan *loan);

/* Says who will hold it: whoever has one already is told of it when the pool is exhausted. The
   pool only compares owners. */
void mp_loan_set_owner(mp_loan *loan, const void *owner);

/* Gets a clean, live session: an idle one if there is one, else a new one, else the
   first to be released. Fails with EXHAUSTED when all stayed lent or too many wait, CONNECT when none could
   be opened, TIMEOUT or CLOSED. `label` says where the loan was taken, for messages; it must
   stay as long as the loan. NULL: unnamed. */
mp_status mp_loan_checkout(mp_loan *loan, int64_t timeout_ns, const char *label, mp_wait *wait,
                           mp_error *err);

typedef struct mp_query_options {
  int64_t timeout_ns; /* 0: the pool's query_timeout */
  bool idempotent;    /* the caller says that running it twice does no harm */
  bool asked;         /* it falls under the deadline of the mp_loan_ask before it */
  bool last;          /* nothing but the release follows: its reset may be sent with the statement */
  /* The mode by which its parameters were written: it may not move to a session that is in another. NULL: it
     has none. */
  const mp_sql_mode *mode;
} mp_query_options;

/* Asks the session how it reads SQL text: mp_loan_sql_mode then tells it, until something else is sent. For a
   statement with these options, of whose time it takes its own. */
mp_status mp_loan_ask(mp_loan *loan, const mp_query_options *options, mp_wait *wait, mp_error *err);

/* Sends a statement and reads the reply up to the first row. `sql` must stay as it
   is until the operation ends. When MP_DONE, mp_loan_summary tells what came back and
   mp_loan_fetch, mp_loan_next_result get the rest; all of it falls under the one deadline. */
mp_status mp_loan_query(mp_loan *loan, const char *sql, size_t length, const mp_query_options *options,
                        mp_wait *wait, mp_error *err);

/* Prepares a statement for the rest of the loan; mp_loan_prepared_id then tells its number. */
mp_status mp_loan_prepare(mp_loan *loan, const char *sql, size_t length, int64_t timeout_ns, mp_wait *wait,
                          mp_error *err);
uint64_t mp_loan_prepared_id(const mp_loan *loan);

/* How many parameters a statement of this loan has; -1 when it is gone. */
int mp_loan_parameters(const mp_loan *loan, uint64_t statement);

/* Like mp_loan_query, for a prepared statement and as many values as it has parameters; with `rows`
   above 0, so many times as many: it runs for each row of them. The values are copied before it
   returns. */
mp_status mp_loan_execute(mp_loan *loan, uint64_t statement, const mp_value *values, size_t rows,
                          const mp_query_options *options, mp_wait *wait, mp_error *err);

/* Ends a prepared statement before its loan ends. One that is gone already is fine. */
void mp_loan_close_prepared(mp_loan *loan, uint64_t statement);

/* True when mp_loan_fetch would give a row at once; false when that is not sure. */
bool mp_loan_has_row(const mp_loan *loan);

/* Reads the next row into *row, which must stay until the operation ends. MP_WAIT may also mean that it is
   the turn of the program's other coroutines. */
mp_status mp_loan_fetch(mp_loan *loan, mp_row *row, mp_wait *wait, mp_error *err);

/* The caller did something with the row that may have taken long: mp_loan_fetch looks at the clock next. */
void mp_loan_took_time(mp_loan *loan);

/* Goes to the next result of the statement; *more is false when there was none,
   and the operation is then over. `more` stays as `row` does. Only after the last row of the current one. */
mp_status mp_loan_next_result(mp_loan *loan, bool *more, mp_wait *wait, mp_error *err);

/* Asks the server for a sign of life. */
mp_status mp_loan_ping(mp_loan *loan, int64_t timeout_ns, mp_wait *wait, mp_error *err);

/* Resets the session in the middle of the loan. When it fails the session is lost, unless a
   result was still open: then it is refused (2014) and nothing was sent. */
mp_status mp_loan_reset(mp_loan *loan, mp_wait *wait, mp_error *err);

/* Does nothing, on any loan, for so long. */
mp_status mp_loan_pause(mp_loan *loan, int64_t duration_ns, mp_wait *wait, mp_error *err);

/* Continues the unfinished operation. */
mp_status mp_loan_step(mp_loan *loan, mp_wait *wait, mp_error *err);

/* Gives the session back, with its reset on the way (`reset` false: as it is). Never
   waits. A second release is quiet. */
void mp_loan_release(mp_loan *loan, bool reset);

/* Gives the session up in the middle of whatever goes on. The loan stays, to be released. */
void mp_loan_lose(mp_loan *loan);

/* Ends the operation of a loan that nobody waits for any more: its turn and its session go
   back to the pool at once. A statement is stopped on the server, and the session kept, where that can be
   done behind the caller's back. The loan stays, without a session, to be released. */
void mp_loan_abandon(mp_loan *loan);

/* Cuts the connection to the server, from outside of the operation that is going on: that fails at
   its next step. */
void mp_loan_cut(mp_loan *loan);

/* Closes the session instead of giving it back. */
void mp_loan_discard(mp_loan *loan);

bool mp_loan_is_held(const mp_loan *loan);     /* lent, and neither released nor discarded */
uint64_t mp_loan_id(const mp_loan *loan);      /* the server's connection id; 0 when not held */
const char *mp_loan_host(const mp_loan *loan); /* of its session; NULL when it is lost */
bool mp_loan_is_in_transaction(const mp_loan *loan);
bool mp_loan_is_queued(const mp_loan *loan); /* waits in line for what others hold */

/* A transaction that is begun, and that only the caller is to end. Returns its number; 0 where the server
   does not tell of transactions. Of one that is watched already: that number. */
uint64_t mp_loan_watch(mp_loan *loan);

/* MP_DONE while the transaction of this number is the session's own: a reset, and ROLLBACK, end it. executed
   is not MP_EXECUTED_NO where it may have been committed before. MP_DONE, too, when the session is lost:
   whatever is tried next tells that. 0: fails when one is watched. */
mp_status mp_loan_check_watched(const mp_loan *loan, uint64_t transaction, mp_error *err);

/* Before it is ended. MP_FAILED when it had ended before, undone or (executed is not MP_EXECUTED_NO) perhaps
   committed; until ROLLBACK all else is refused then. MP_DONE when the session is lost, as above. */
mp_status mp_loan_unwatch(mp_loan *loan, mp_error *err);

/* True when a transaction in which the server said this may be run anew, all of it: what it did is undone, or
   will be by ROLLBACK. `elsewhere`: on a connection to another server. */
bool mp_transaction_may_run_again(unsigned code, bool elsewhere);

/* Something that should have been rolled back was not: from now on all but ROLLBACK is refused. */
void mp_loan_spoil(mp_loan *loan);

/* True when the session, if it is not lost already, will be closed at its release because its server may not
   write. */
bool mp_loan_is_retiring(const mp_loan *loan);

/* The driver's clock. The loan keeps it running: who made the pool may have let go of that. */
int64_t mp_loan_now(const mp_loan *loan);

/* The number of its session's slot, counted from 0; -1 when the session is lost. */
int mp_loan_slot(const mp_loan *loan);

/* True when the session is new: with config.hooked the caller then runs what belongs to its baseline, between
   mp_loan_record(loan, true) and (loan, false). The statements between are sent again with each reset. */
bool mp_loan_is_fresh(const mp_loan *loan);
void mp_loan_record(mp_loan *loan, bool on);

/* MP_DONE when the session is such that what a statement writes stays; else MP_FAILED, of kind CONNECT. */
mp_status mp_loan_check_baseline(const mp_loan *loan, mp_error *err);

/* Tell of the reply that was just read. */
void mp_loan_summary(const mp_loan *loan, mp_summary *summary);
mp_column mp_loan_column(const mp_loan *loan, unsigned index);

/* How its session reads SQL text. */
mp_sql_mode mp_loan_sql_mode(const mp_loan *loan);

#endif
