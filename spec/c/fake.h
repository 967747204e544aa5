/* A driver without a server: sessions do as they are told, and time passes by hand. It watches
   over the manners of the pool: no use after close, one thing at a time, no session that
   another loan has left unclean. */
#ifndef MYPOOL_FAKE_H
#define MYPOOL_FAKE_H

#include "driver.h"

typedef enum fake_call {
  ON_OPEN,
  ON_RESET_SEND,
  ON_RESET_READ,
  ON_QUERY,
  ON_FETCH,
  ON_NEXT_RESULT,
  ON_PING,
  ON_ASK,
  ON_RECOVER,
  FAKE_CALLS
} fake_call;

typedef struct fake_answer {
  mp_status status;
  unsigned code;
  mp_phase phase;
  const char *message; /* NULL: one with the code in it */
  bool partial;        /* of a statement of which a part may stay */
  bool own;            /* the client refused it, in the server's place */
} fake_answer;

extern const fake_answer fine, waits;
fake_answer fails(unsigned code, mp_phase phase);

struct mp_session {
  unsigned number; /* 1 for the first that was opened */
  uint64_t server;
  unsigned host;
  bool writable;
  bool beside; /* it was opened as a probe */
  bool busy;   /* `doing` is unfinished */
  fake_call doing;
  bool answered; /* ... and `answer` is what the next step says */
  fake_answer answer;
  bool woken;           /* until the next step */
  bool replies_pending; /* to a reset */
  bool replied;         /* ... which have arrived */
  bool along;           /* ... which was sent with the statement of the loan that has it */
  bool dead, aborted, closed;
  unsigned looks_left; /* it dies after that many; 0: it does not care */
  unsigned rows;       /* unread */
  mp_row *fetched;     /* the caller's place for the row that is being fetched */
  bool in_transaction;
  unsigned used_by; /* the loan that ran a statement since the last reset; 0: none */
  bool recording;   /* its baseline is being made ... */
  unsigned maker;   /* ... by that loan */
  unsigned queries, pings, asked, resets, recoveries;
  unsigned resets_along;
  unsigned recorded;          /* statements of its baseline */
  mp_sql_mode mode;           /* as the fake has it when it is opened */
  int64_t deadline_ns;        /* given to open */
  int64_t opened_ns, open_ns; /* when that began, and how long it took if it had to wait */
};

extern struct fake {
  int64_t now_ns;
  int64_t idle_limit_ns;   /* of sessions opened from now on */
  uint64_t server;         /* of sessions opened from now on */
  fake_answer by_host[32]; /* to opens, unless there is a plan; status 0 is fine */
  bool writes[32];         /* by host: sessions are told so at connect */
  bool read_only;          /* all sessions began so */
  bool slow_resets;        /* replies come when `reply` says so, not at once */
  bool no_wakeups;
  mp_sql_mode mode;     /* of sessions opened from now on */
  unsigned rows;        /* of the results of queries */
  bool arrive;          /* ... each from the network */
  unsigned user;        /* the loan in whose name things are done */
  bool unclean_allowed; /* specs of life without resets */
  unsigned chaos;       /* percent of calls that go wrong on their own */
  unsigned calls[FAKE_CALLS];
  unsigned opened, closed;     /* sessions */
  unsigned wakeups;            /* taken and not given back */
  unsigned freed;              /* drivers */
  unsigned spare_closed;       /* by drivers */
  void (*closing_spare)(void); /* what the program does while a driver closes what it kept; NULL: nothing */
} fake;

/* Starts anew, forgetting all sessions. */
void fake_begin(void);
void fake_end(void);
mp_driver *fake_driver(void);

/* The next call of this kind that has no plan yet will be answered so. */
void plan(fake_call call, fake_answer answer);
void plan_times(unsigned times, fake_call call, fake_answer answer);

/* What a session does unasked. */
void answer(mp_session *session, fake_answer answer);
void reply(mp_session *session);
void dies(mp_session *session);

mp_session *session_number(unsigned number); /* of all ever opened */

/* Whether what is waited for has happened. */
bool readable(int fd);
bool is_notified(int fd);

uint64_t fake_random(uint64_t below);
void fake_seed(uint64_t seed);

#endif
