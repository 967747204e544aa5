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
  MP_WAIT,  /* step again when what the mp_wait names has come, or its time is up */
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

/* The effect of a failed statement on the server: none; there may be one; there is one. */
typedef enum mp_executed { MP_EXECUTED_NO, MP_EXECUTED_UNKNOWN, MP_EXECUTED_YES } mp_executed;

/* The point of its course at which an operation failed; the retry table decides by it. */
typedef enum mp_phase {
  MP_PHASE_CONNECT, /* opening a session */
  MP_PHASE_RESET,   /* reading the replies of a reset */
  MP_PHASE_SEND,    /* before the last byte of the statement was handed to the kernel */
  MP_PHASE_REPLY,   /* waiting for the first reply */
  MP_PHASE_RESULT   /* reading rows or later results */
} mp_phase;

/* Numbers of errors by which something is decided here: the server's (mysqld_error.h), then libmariadb's
   (errmsg.h). */
enum {
  MP_ER_CHECKREAD = 1020, /* record changed since last read */
  MP_ER_CON_COUNT = 1040, /* too many connections */
  MP_ER_OUT_OF_RESOURCES = 1041,
  MP_ER_UNKNOWN_COMMAND = 1047, /* also a Galera node that is not ready, in other words */
  MP_ER_SHUTDOWN = 1053,        /* in progress */
  MP_ER_PARSE_ERROR = 1064,
  MP_ER_CANNOT_CREATE_THREAD = 1135,
  MP_ER_PACKETS_OUT_OF_ORDER = 1156,
  MP_ER_CANNOT_UNCOMPRESS = 1157,
  MP_ER_READING_PACKETS = 1158,
  MP_ER_READ_INTERRUPTED = 1159, /* timeout reading packets */
  MP_ER_WRITING_PACKETS = 1160,
  MP_ER_WRITE_INTERRUPTED = 1161, /* timeout writing packets */
  MP_ER_PACKET_TOO_LARGE = 1153,
  MP_ER_DURING_COMMIT = 1180,
  MP_ER_UNKNOWN_VARIABLE = 1193,
  MP_ER_USER_CONNECTIONS = 1203, /* max_user_connections */
  MP_ER_LOCK_WAIT_TIMEOUT = 1205,
  MP_ER_DEADLOCK = 1213,
  MP_ER_USER_LIMIT = 1226, /* resource limit of the account */
  MP_ER_NOT_SUPPORTED_YET = 1235,
  MP_ER_UNKNOWN_STATEMENT = 1243, /* a prepared statement that is gone */
  MP_ER_OPTION_PREVENTS = 1290,   /* running with --read-only, say */
  MP_ER_NOT_PREPARED = 1295,      /* this statement cannot be executed so */
  MP_ER_UNKNOWN_FUNCTION = 1305,
  MP_ER_QUERY_INTERRUPTED = 1317, /* KILL QUERY */
  MP_ER_READ_ONLY_TRANSACTION = 1792,
  MP_ER_READ_ONLY_MODE = 1836,
  MP_ER_CONNECTION_KILLED = 1927,
  MP_ER_STATEMENT_TIMEOUT = 1969,          /* max_statement_time */
  MP_ER_QUERY_TIMEOUT = 3024,              /* max_execution_time, MySQL */
  MP_ER_CLIENT_INTERACTION_TIMEOUT = 4031, /* closed for inactivity, MySQL */
  MP_ER_NOT_IN_BINLOG = 4033,              /* not while binlog_format is STATEMENT */
  MP_CR_SERVER_GONE = 2006,                /* found closed before or while sending */
  MP_CR_SERVER_LOST = 2013,                /* while connecting, say */
  MP_CR_VERSION = 2007,                    /* another protocol */
  MP_CR_OUT_OF_SYNC = 2014,                /* a result is open */
  MP_CR_UNKNOWN_CHARSET = 2019,
  MP_CR_TLS = 2026, /* refused: a certificate, a file, a server without it; what was cut has another number */
  MP_CR_OLD_AUTHENTICATION = 2049,
  MP_CR_NEW_STATEMENT_METADATA = 2057, /* a table changed under a prepared statement */
  MP_CR_PLUGIN_NOT_LOADED = 2059,      /* of authentication */
  MP_CR_PLUGIN_NOT_ALLOWED = 5010      /* of authentication */
};

/* Whose doing a failed connect was, where it matters to what is said of it. */
typedef enum mp_cause {
  MP_CAUSE_SERVER,   /* or the way to it */
  MP_CAUSE_DEADLINE, /* the caller's had come: a longer one might have done */
  MP_CAUSE_PROGRAM   /* a function of the program's */
} mp_cause;

typedef struct mp_error {
  mp_kind kind;
  mp_phase phase;
  mp_executed executed;
  unsigned code;    /* errno of the server or of libmariadb, 0 when neither spoke */
  char sqlstate[6]; /* "" when there is none */
  bool retryable;   /* the same call may succeed, and cannot take effect twice */
  bool fatal;       /* the loan's session is gone: only release is of use */
  mp_cause cause;
  const char *host; /* of the one that it came from, of several; as long as its pool lives */
  char message[512];
} mp_error;

/* As good as a new one, and cheaper: this is done for each statement and each row. */
static inline void mp_error_clear(mp_error *err) {
  err->kind = MP_ERR_NONE;
  err->phase = MP_PHASE_CONNECT;
  err->executed = MP_EXECUTED_NO;
  err->code = 0;
  err->retryable = err->fatal = false;
  err->cause = MP_CAUSE_SERVER;
  err->host = NULL;
  memset(err->sqlstate, 0, sizeof err->sqlstate);
  err->message[0] = '\0';
}

/* In the place of a descriptor: the operation waits in memory, until `unpark` of mp_pool_config. */
#define MP_PARKED (-1)

/* The event that a resumable operation waits for. `fd` stays open as long as its pool. */
typedef struct mp_wait {
  int fd;           /* step again when it is readable; MP_PARKED: when the loan is unparked */
  int64_t until_ns; /* ... or at this time; MP_NEVER for no limit */
} mp_wait;

/* Fills *err unless it already holds an error: the first one wins. Returns
   MP_FAILED, so that a function can end with it. */
mp_status mp_fail(mp_error *err, mp_kind kind, unsigned code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts words before the message. */
void mp_error_precede(mp_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts words behind the message, as much of them as there is room for. */
void mp_error_follow(mp_error *err, const char *words);

/* A length of time as users write it, in seconds: "5", "0.25". */
typedef struct mp_seconds {
  char text[24];
} mp_seconds;
mp_seconds mp_seconds_of(int64_t ns);

/* The name of a kind as Lua users see it, such as "lost"; likewise for executed. */
const char *mp_kind_name(mp_kind kind);
const char *mp_executed_name(mp_executed executed);

#endif
