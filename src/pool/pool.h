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

/* One server: is it up, when is the next attempt due, does it know resets; server.c. While failures > 0 or
   `refuses` it is barred: nothing is opened there while another server is not. */
struct server {
  mp_pool *pool;
  unsigned number;              /* in the order of the hosts */
  unsigned counts[SLOT_STATES]; /* its slots; slot_move counts them, but for those that are empty */
  unsigned failures;            /* in a row: connects, and what else bars it */
  unsigned successes;           /* connects that did not fail, since the last failure; 0: that is long ago */
  bool met;                     /* a connect has succeeded */
  mp_writable writable;         /* with a need: as the last connect, or a reset, has shown */
  bool refuses;                 /* the last connect, for a reason that will not pass by itself */
  int64_t retry_at_ns;          /* no connect before, while failures > 0 */
  int64_t probe_at_ns;          /* ... while another server is not barred */
  int64_t avoid_until_ns;       /* the user's wish */
  mp_error last_failure;
  struct { /* connects that failed since it is barred */
    unsigned count;
    int64_t since_ns;
  } tries;
  uint64_t generation; /* of its sessions; evicting them makes a new one */
  struct {             /* probe.c */
    bool begun;
    mp_session *session;
    int64_t since_ns, seen_ns; /* when it began, and was last seen to go on */
    uint64_t generation;       /* of its session */
  } probe;
  struct {               /* silence.c */
    int64_t heard_ns;    /* when it last was heard */
    int64_t patience_ns; /* so long it may be silent before it is asked */
    int64_t asked_ns;    /* when a probe was begun because it was silent; 0: it is not in doubt */
    unsigned proofs;     /* probes that must succeed before it is used beside others again */
  } silence;
  struct { /* since the pool was made */
    uint64_t opened, failures, moved, barred;
  } stats;
  int64_t barred_since_ns, was_barred_ns;
  unsigned news;                           /* MP_HOST_… that were not told */
  bool reset_refused;                      /* it does not know how: reconnect instead */
  unsigned reset_refusals, reset_failures; /* since the last that was answered */
  int64_t reset_ask_at_ns;                 /* whether it knows how now */
};

typedef struct mp_slot {
  slot_state state;
  mp_session *session; /* NULL while empty, and while opening has not begun */
  mp_loan *loan;
  struct server *server;
  struct mp_slot *newer, *older; /* in the idle list; idle.c */
  int64_t released_ns;           /* start of its idle time */
  int64_t expires_ns;            /* end of its lifetime */
  int64_t idle_limit_ns;         /* the server's */
  uint64_t generation;           /* of pool and server when its connect began; evict makes a new one */
  int64_t begun_ns;              /* when its connect began */
  struct {                       /* reset.c */
    int64_t sent_ns;             /* when it was sent, or its second part began to be */
    bool pending;                /* its replies have not been read */
    bool begun;                  /* ... and a loan that gave up waiting began to read them */
    bool partial;                /* ... and a part of it is still to be sent */
    bool slow;                   /* ... and were given up for another session */
  } reset;
  bool was_reset; /* the session has answered a reset before; server.c */
  bool fresh;     /* the user's on_connect has not seen the session yet */
  bool recording; /* ... or has it in hand: its baseline is half made */
  bool lost;      /* the session is of no more use to its loan */
  bool retire;    /* close it at release */
  bool silenced;  /* cut, for its server was silent */
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
  struct server *server; /* of the session that it has or had; NULL: none */
  /* LOAN_HANDED: the slot it was waiting on when another became free. Still reserved until step_handed
     returns it. */
  mp_slot *left;
  loan_stage stage;
  loan_operation operation; /* unfinished; OP_NONE: at rest */
  bool parked;              /* LOAN_OPENING: waits, and may be handed another slot */
  struct {                  /* queue.c */
    uint64_t ticket;        /* the order of the checkouts, and of the queue */
    bool has_waited;        /* it may stand in line, however long that is */
    bool counted;           /* in stats.waits: its time in line is, too */
    int64_t since_ns;       /* when it came into the line last */
    mp_loan *next, *previous;
  } turn;
  int wakeup_fd;       /* while queued or pausing, unless that is in memory; else -1 */
  bool asleep;         /* waits in memory: to be unparked */
  int64_t deadline_ns; /* of what goes on now */
  int64_t timeout_ns;  /* how long the checkout was willing to wait */
  int64_t limit_ns;    /* of the replies to a reset */
  int64_t since_ns;    /* when it got its session, or began to read a reset */
  int64_t lent_ns;     /* when its checkout ended; 0: it has not, or the time since is in stats.lent_ns */
  int64_t pause_until_ns;
  int64_t waits_since_ns;            /* for its server, where silence is watched; 0: not yet */
  unsigned tries;                    /* sessions that failed it in this operation */
  unsigned statements;               /* that ran to an answer: after the first nothing is retried */
  bool dirty;                        /* something was sent: the session needs a reset */
  bool maybe_executed;               /* an earlier try of this operation may have taken effect */
  struct {                           /* operation.c: kept for a retry */
    int64_t timeout_ns, deadline_ns; /* timeout_ns 0: the pool's query_timeout */
    bool idempotent;
    bool last;    /* OP_QUERY: of the loan */
    bool written; /* OP_QUERY: parameters, by this mode, which another session must share */
    mp_sql_mode mode;
    const char *sql; /* of OP_QUERY and OP_PREPARE */
    size_t length;
    uint64_t prepared; /* of OP_EXECUTE */
    const mp_value *values;
    size_t rows;
  } statement;
  struct {             /* operation.c */
    mp_row *row;       /* of OP_FETCH: the caller's */
    bool *more;        /* of OP_NEXT_RESULT: the caller's */
    bool postponed;    /* the driver has not been asked yet: it is the turn of others */
    unsigned unlooked; /* rows and results since the clock was looked at */
    int64_t since_ns;  /* others have not run since then at least; 0: they have */
  } reading;
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
  struct { /* idle.c */
    mp_slot *newest, *oldest;
    int64_t ends_ns; /* the time of none of them is over before */
  } idle;
  struct { /* queue.c */
    mp_loan *first, *last;
    unsigned count;
    uint64_t tickets; /* given out */
    uint64_t left;    /* it so many times */
    bool unheard;     /* somebody could not be unparked */
  } queue;
  struct server *servers; /* config.hosts of them */
  bool no_host_told;      /* that all were barred; since, none has served */
  int64_t moved_ns;       /* when a session was last given up for one of a better host; balance.c */
  char reset_failure[sizeof((mp_error *)NULL)->message]; /* the last; server.c */
  distrust distrust;
  struct {         /* overdue.c */
    int64_t at_ns; /* no loan that was not reported is overdue before */
  } overdue;
  unsigned loans; /* that hold the pool in memory */
  bool owned;     /* by its creator */
  bool closed, aborted;
  struct {              /* check.c */
    unsigned calls;     /* of functions of mypool.h that are under way */
    unsigned unchecked; /* ... that have ended since the last look at a long queue */
  } check;
  int ended_fd;
  uint64_t generation, random;
  unsigned events;
  mp_stats stats;
};

#endif
