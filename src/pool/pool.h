/* The pool as the files of this folder share it. No I/O, no SQL, no clock of its own: all of
   that is the driver's. */
#ifndef MYPOOL_POOL_H
#define MYPOOL_POOL_H

#include "driver.h"

typedef enum slot_state {
  SLOT_EMPTY,      /* free to open */
  SLOT_OPENING,    /* reserved, being connected; without a loan when that gave up waiting */
  SLOT_IDLE,       /* on the idle list; the replies to its reset may not have been read */
  SLOT_LENT,       /* with a loan */
  SLOT_RECOVERING, /* its loan timed out: its statement is being stopped; a loan may wait for it */
  SLOT_STATES
} slot_state;

typedef struct mp_slot {
  slot_state state;
  mp_session *session; /* NULL while empty, and while opening has not begun */
  mp_loan *loan;
  struct mp_slot *newer, *older; /* in the idle list */
  int64_t released_ns;           /* start of its idle time */
  int64_t reset_ns;              /* when its reset was sent, or the rest of that began to be */
  int64_t expires_ns;            /* end of its lifetime */
  int64_t idle_limit_ns;         /* the server's */
  uint64_t generation;           /* of the pool when its connect began; evict makes a new one */
  bool reset_pending;            /* replies to a reset are owed */
  bool reset_begun;              /* ... and a loan that gave up waiting began to read them */
  bool reset_partial;            /* ... and a part of it is still to be sent */
  bool reset_slow;               /* ... and were given up for another session */
  bool reset_answered;           /* a reset has led it back before */
  bool fresh;                    /* the user's on_connect has not seen it yet */
  bool recording;                /* ... or has it in hand: its baseline is half made */
  bool lost;                     /* the session is of no more use to its loan */
  bool retire;                   /* close it at release */
} mp_slot;

typedef enum loan_stage {
  LOAN_NEW,
  LOAN_SEEKING,   /* is to choose what to do next; never outside of acquire */
  LOAN_QUEUED,    /* waits for a release, or for the server to come back */
  LOAN_HANDED,    /* was given a slot while it waited, has not looked yet */
  LOAN_OPENING,   /* its session is being connected */
  LOAN_RESETTING, /* reads the replies to the reset of its session */
  LOAN_HELD,      /* has its session, which may be lost */
  LOAN_SPENT,     /* has none any more: only its release is of use */
  LOAN_ENDED
} loan_stage;

typedef enum loan_operation {
  OP_NONE,
  OP_CHECKOUT,
  OP_ASK,
  OP_QUERY,
  OP_PREPARE,
  OP_EXECUTE,
  OP_PING,
  OP_FETCH,
  OP_NEXT_RESULT,
  OP_RESET,
  OP_PAUSE
} loan_operation;

struct mp_loan {
  mp_pool *pool;
  mp_slot *slot;
  mp_slot
      *left;   /* LOAN_HANDED: whose connect or recovery it waited for; nobody else may until it has looked */
  bool parked; /* LOAN_OPENING: waits, and may be handed another slot */
  loan_stage stage;
  loan_operation operation; /* unfinished; OP_NONE: at rest */
  mp_loan *next, *previous; /* in the queue */
  uint64_t ticket;          /* the order of the checkouts, and of the queue */
  int wakeup_fd;            /* fd while queued or pausing, else -1 */
  int64_t deadline_ns;      /* of what goes on now */
  int64_t timeout_ns;       /* how long the checkout was willing to wait */
  int64_t limit_ns;         /* of the replies to a reset */
  int64_t since_ns;         /* when it got its session, or began to read a reset */
  int64_t pause_until_ns;
  unsigned tries;      /* sessions that failed it in this operation */
  unsigned statements; /* that ran to an answer: after the first nothing is retried */
  bool dirty;          /* something was sent: the session needs a reset */
  bool maybe_executed; /* an earlier try of this operation may have taken effect */
  bool written;        /* OP_QUERY: parameters, by this mode, which another session must share */
  mp_sql_mode mode;
  const char *sql; /* of OP_QUERY and OP_PREPARE, for a retry */
  size_t length;
  uint64_t prepared; /* of OP_EXECUTE */
  const mp_value *values;
  size_t rows;
  int64_t statement_deadline_ns;
  unsigned unlooked; /* rows and results since the clock was looked at */
  int64_t turn_ns;   /* others have not run since then at least; 0: they have */
  bool idempotent;
  bool reported; /* as overdue */
  const void *owner;
  const char *label; /* the caller's */
};

/* distrust.c */
typedef struct distrust {
  uint64_t server;  /* on which a write failed because it may not write */
  int64_t until_ns; /* 0: none */
  unsigned to_open; /* connections to open before idle ones are lent */
} distrust;

struct mp_pool {
  mp_pool_config config;
  mp_driver *driver;
  mp_slot *slots;
  unsigned counts[SLOT_STATES];
  mp_slot *newest, *oldest; /* idle */
  int64_t idle_ends_ns;     /* the time of none of them is over before */
  mp_loan *first, *last;    /* queued */
  unsigned waiting;
  unsigned loans; /* that hold the pool in memory */
  bool owned;     /* by its creator */
  unsigned
      calls; /* of functions of mypool.h that are under way, where the pool is checked when they are left */
  bool closed, aborted;
  int ended_fd;
  uint64_t generation, random, tickets;
  unsigned failures;   /* connects that failed in a row */
  unsigned successes;  /* connects that did not, since the last failure; 0: that is long ago */
  int64_t retry_at_ns; /* no connect before, while failures > 0 */
  mp_error last_failure;
  distrust distrust;
  int64_t overdue_at_ns;                   /* no loan that was not reported is overdue before */
  bool reset_refused;                      /* the server does not know how: reconnect instead */
  unsigned reset_refusals, reset_failures; /* since the last that was answered */
  int64_t reset_ask_at_ns;                 /* of a server that does not know how, once more */
  char reset_failure[sizeof((mp_error *)NULL)->message];
  unsigned events;
  mp_stats stats;
};

/* A handle of a loan is gone. */
void pool_drop_loan(mp_pool *pool);

/* Wakes whoever waits for the last loan to end. */
void pool_tell_ended(mp_pool *pool);

#endif
