/* How operations end, and what they wait for: statuses, errors, waits. Used everywhere. */
#ifndef MYPOOL_OUTCOME_H
#define MYPOOL_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Deadlines are absolute, in nanoseconds of the driver's monotonic clock. */
#define MP_NEVER INT64_MAX
#define MP_SECOND INT64_C(1000000000)
#define MP_MILLISECOND INT64_C(1000000)

typedef enum mp_status {
  MP_DONE,  /* finished, well */
  MP_WAIT,  /* step again when the fd of the mp_wait is readable or its time is up */
  MP_FAILED /* finished, the mp_error says how */
} mp_status;

typedef enum mp_kind {
  MP_ERR_NONE,
  MP_ERR_SERVER,    /* the server refused the statement */
  MP_ERR_CONNECT,   /* no session could be opened */
  MP_ERR_LOST,      /* the session is gone */
  MP_ERR_TIMEOUT,   /* the operation's deadline passed */
  MP_ERR_EXHAUSTED, /* every session is lent */
  MP_ERR_CLOSED,    /* the pool is closed */
  MP_ERR_PROTOCOL   /* client and server are out of step, or a limit of the client */
} mp_kind;

/* Whether a failed statement may have taken effect on the server. */
typedef enum mp_executed { MP_EXECUTED_NO, MP_EXECUTED_UNKNOWN, MP_EXECUTED_YES } mp_executed;

/* Where in its course an operation failed; the retry table decides by it. */
typedef enum mp_phase {
  MP_PHASE_CONNECT, /* opening a session */
  MP_PHASE_RESET,   /* reading the replies of a reset */
  MP_PHASE_SEND,    /* before the last byte of the statement was handed to the kernel */
  MP_PHASE_REPLY,   /* waiting for the first reply */
  MP_PHASE_RESULT   /* reading rows or later results */
} mp_phase;

typedef struct mp_error {
  mp_kind kind;
  mp_phase phase;
  mp_executed executed;
  unsigned code;    /* errno of the server or of libmariadb, 0 when neither spoke */
  char sqlstate[6]; /* "" when there is none */
  bool retryable;   /* the same call may succeed, and cannot take effect twice */
  bool fatal;       /* the loan's session is gone: only release is of use */
  char message[512];
} mp_error;

/* What a resumable operation waits for. `fd` stays open as long as its pool. */
typedef struct mp_wait {
  int fd;           /* step again when it is readable */
  int64_t until_ns; /* ... or at this time; MP_NEVER for no limit */
} mp_wait;

/* Fills *err unless it already holds an error: the first one wins. Returns
   MP_FAILED, so that a function can end with it. */
mp_status mp_fail(mp_error *err, mp_kind kind, unsigned code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The name of a kind as Lua users see it, such as "lost"; likewise for executed. */
const char *mp_kind_name(mp_kind kind);
const char *mp_executed_name(mp_executed executed);

#endif
