/* One session over libmariadb, as the files of this folder share it. */
#ifndef MYPOOL_MARIADB_SESSION_H
#define MYPOOL_MARIADB_SESSION_H

#include <mysql.h>

#include <ma_pvio.h> /* needs mysql.h before it */
#include <pthread.h>

#include "driver.h"
#include "mariadb.h"
#include "os/clock.h"
#include "os/fork.h"
#include "os/pollset.h"
#include "os/wakeup.h"

/* Earlier ones lack what the login is restricted with, and errors of TLS that can be told apart. */
#define OLDEST_CONNECTOR_C 30300
#if !defined MARIADB_PACKAGE_VERSION_ID || MARIADB_PACKAGE_VERSION_ID < OLDEST_CONNECTOR_C
#error "mypool needs the headers of MariaDB Connector/C 3.3 or later (Debian: libmariadb-dev)"
#endif

/* A connection that the server may still count. */
typedef struct mp_leaving {
  int fd; /* a second descriptor of its socket; -1: none */
  int64_t since_ns;
  int64_t until_ns; /* it may be counted until then, although the socket has ended */
  bool expecting;   /* the server had not answered all when it was told of the end */
} mp_leaving;

/* How a statement begins: by it the server's list of threads shows whose it is. */
typedef struct statement_head {
  char text[512];
  size_t length;
} statement_head;

typedef struct mariadb_driver {
  mp_driver face; /* first: the pool sees only this */
  mp_server server;
  char **init_sql;
  mp_wakeups *wakeups;
  mp_pollsets *pollsets;
  mp_leaving *leaving; /* the oldest first */
  size_t leaving_count, leaving_capacity;
  bool resting;            /* no session will follow */
  uint64_t last_statement; /* number of a prepared statement */

  /* For the end of the program. */
  struct mariadb_driver *next;
  pthread_t thread; /* that the pool belongs to */
  unsigned fork_generation;
  pthread_mutex_t lock; /* of the list of sessions, and of their helpers' beginning and end */
  mp_session *sessions;
} mariadb_driver;

/* What leads a used session back to where it was right after connect and init SQL. */
typedef struct baseline {
  char *role;                               /* in force after connect, on MySQL as SQL; NULL: none */
  char *init_connect;                       /* the server's own init SQL for this account; "": none */
  const struct ma_charset_info_st *charset; /* the client's, after connect */
  char *database;                           /* NULL: none */
  char *collation;                          /* collation_connection after connect */
  unsigned wait_timeout;                    /* seconds */
  size_t max_packet;                        /* bytes */
  uint64_t connection_id;                   /* CONNECTION_ID(): the greeting's may be a proxy's */
  char *identity;                           /* of the server: host name, port, server_id, unique name */
  char *charset_client;                     /* @@character_set_client, after init SQL as all that follow */
  bool no_backslash_escapes, empty_string_is_null; /* of the sql_mode */
  mp_reading login;                                /* before init SQL: how init_connect is read */
  bool login_tx_read_only;                         /* before init SQL: what a reset returns to */
  bool autocommit, tx_read_only;
  bool rolls_back_on_timeout; /* @@innodb_rollback_on_timeout, which nobody can change */
  bool has_roles;             /* the account may SET ROLE */
  bool is_mariadb;
} baseline;

/* What the session's server has said of how it reads SQL text. */
struct mode {
  bool strayed;       /* a status since the baseline was not by its sql_mode */
  bool untold;        /* the last reply had no status */
  bool asking;        /* the statement in progress asks */
  bool told;          /* ... and was answered; nothing was sent since */
  mp_reading reading; /* the answer */
  bool utf8, utf8mb4;
};

typedef enum transaction_ending {
  TRANSACTION_LASTS,  /* or there is none */
  TRANSACTION_UNDONE, /* by the server, with an error */
  TRANSACTION_ENDED,  /* by a statement in it */
  TRANSACTION_SPOILED /* a part of it could not be rolled back */
} transaction_ending;

/* transaction.c: the transaction that the session is in. */
typedef struct transaction {
  uint64_t watched; /* its number, when a helper of ours has begun it and counts on it; 0: by hand, or none */
  uint64_t last;    /* number that was given */
  uint64_t ended;   /* the last that a statement has ended; 0: none */
  transaction_ending ending; /* not LASTS: only ROLLBACK makes sense */
  unsigned code;             /* of the error that undid it */
  mp_sql_effect effect;      /* of the statement in progress */
  bool before;               /* there was one when that was sent */
} transaction;

struct mp_session {
  mariadb_driver *driver;
  MYSQL *mysql;
  MYSQL_RES *result; /* open until its last row was read */
  mp_pollset *pollset;
  unsigned fork_generation; /* of the process that owns the server's connection */
  baseline base;

  /* The libmariadb call in progress: `cont` resumes it, `done` takes its outcome. */
  int (*cont)(mp_session *, int ready);
  mp_status (*done)(mp_session *, mp_error *);
  int events; /* MYSQL_WAIT_… it asked for */
  int outcome;
  my_bool flag;
  MYSQL *connected;
  bool greeted; /* while it connects: the server has begun to speak */
  MYSQL_ROW row;
  unsigned run_rows; /* fetched by blocking.c */
  bool arrived;      /* the row, from the network: it had not been read ahead */

  PVIO_METHODS reading;     /* libmariadb's functions for the socket, but for one of ours */
  PVIO_METHODS *ordinary;   /* all of them its own; NULL: they are in use as they are */
  int64_t patient_until_ns; /* until then a read may wait in place; 0: not at all */
  bool expecting;           /* the next read would be in vain */

  struct st_mariadb_methods methods; /* libmariadb's for the protocol, but for those of preparing.c */
  const struct st_mariadb_methods
      *ordinary_methods; /* all of them its own; NULL: they are in use as they are */

  struct prepared *statements; /* of the loan */
  struct prepared *preparing;  /* being prepared */
  struct prepared *executing;  /* its results are not read to their end */
  struct prepared *executed;   /* what the last reply belongs to; NULL: to a text statement */
  uint64_t prepared_id;        /* the newest */
  bool in_rows;                /* of `executing` */

  mp_buffer flight; /* the packets of a reset, ready to send */
  unsigned flight_replies;
  size_t built_length; /* of the flight without the statements of on_connect */
  unsigned built_replies;
  unsigned guard_reply, profiles_reply; /* which of the replies are those to the guard and to SHOW PROFILES */
  unsigned seal_reply; /* ... and the last, behind statements of any kind; 0: there are none */
  size_t seal_length;  /* of the flight before it */
  size_t sent;         /* bytes of the flight */
  unsigned unsent;     /* packets of it */
  unsigned owed;       /* replies of a reset not read yet, those to come of `unsent` too */
  transaction transaction;
  const char *sql; /* the statement in progress */
  size_t length;
  statement_head head; /* of it, also of a prepared one; the text itself may be gone */
  bool recording;      /* statements become part of the baseline */
  mp_error failure;    /* of a statement, while the server is asked what became of the transaction */

  struct mode mode; /* of reading SQL */

  char *password;        /* for the connect, and to stop a statement */
  char *address;         /* to connect to, in the place of the server's host ... */
  unsigned port_number;  /* ... and port; NULL: those */
  mp_session *stop_with; /* serves that one, and is to stop when it is; NULL: none */
  mp_leaving leaving;    /* whose place it takes */
  struct helper *helper; /* the thread that has it in hand; NULL: none */

  mp_session *next, **link; /* of the driver; link is NULL for a connection that serves another session */
};

/* blocking.c: blocking, for the statements of a connect */
mp_status mp_run(mp_session *session, const char *sql, int64_t deadline_ns, mp_error *err);
/* One row of text. Its cells hold until mp_run_end, which must follow. */
mp_status mp_run_row(mp_session *session, const char *sql, int64_t deadline_ns, mp_error *err);
mp_status mp_run_fetch(mp_session *session, int64_t deadline_ns, mp_error *err); /* the next row */
mp_status mp_run_end(mp_session *session, int64_t deadline_ns, mp_error *err);

/* connect.c: from nothing to the baseline, blocking until the deadline at most. */
mp_status mp_session_connect(mp_session *session, int64_t deadline_ns, mp_error *err);
/* ... only to be logged in: for a connection that serves another session. */
mp_status mp_session_login(mp_session *session, int64_t deadline_ns, mp_error *err);

/* addresses.c: the same at the first address of the host that does it. */
mp_status mp_addresses_login(mp_session *session, int64_t deadline_ns, mp_error *err);

/* greeting.c */
typedef enum mp_greeting { MP_GREETING_TO_COME, MP_GREETING_DEADLY, MP_GREETING_TO_READ } mp_greeting;
mp_greeting mp_greeting_look(mp_session *session);

/* tls.c */
mp_status mp_tls_set_options(MYSQL *mysql, const mp_server *server, mp_error *err);
mp_status mp_tls_check(mp_session *session, mp_error *err);
mp_status mp_tls_explain(const mp_session *session, mp_error *err);
void mp_set_nonblocking(MYSQL *mysql);

/* neighbours.c: before libmariadb is called for a session that may be encrypted. */
void mp_neighbours_forget(const mp_session *session);

/* opening.c: the same in place or on a helper thread. */
mp_status mp_session_open(mp_driver *driver, int64_t deadline_ns, mp_session **out, mp_error *err);
/* A session that is to be logged in for the sake of this one, with the same password. NULL: no memory. */
mp_session *mp_serving_new(mp_session *served);

/* reading.c */
void mp_reading_begin(mp_session *session); /* once it is connected */
void mp_reading_end(mp_session *session);   /* before another session gets the connection */
void mp_reading_patient(mp_session *session, int64_t until_ns);

mp_status mp_session_ask_password(mp_session *session, mp_error *err);

/* version.c: of the server: 101119 is 10.11.19; 0 for what is no version. */
unsigned mp_server_version(const MYSQL *mysql);

/* baseline.c */
mp_status mp_baseline_same_server(mp_session *side, const baseline *base, int64_t deadline_ns, mp_error *err);
mp_status mp_baseline_record(mp_session *session, int64_t deadline_ns, mp_error *err);
/* What init SQL may have changed since. */
mp_status mp_baseline_record_state(mp_session *session, int64_t deadline_ns, mp_error *err);
mp_status mp_baseline_check(const mp_session *session, mp_error *err);
const char *mp_baseline_read_only(const mp_session *session); /* the variable's name */
void mp_baseline_settle(baseline *base, const MYSQL *mysql, bool user_sql);
void mp_baseline_free(baseline *base);

/* side.c: a second connection to the server of a session, and to its statement there. */
mp_session *mp_side_open(mp_session *session, int64_t deadline_ns, mp_error *err);
enum { KILL_SIZE = 48 };
/* What to say to the server to stop the statement; "" when none runs. Fails unless what runs is proven to be
   the session's. */
mp_status mp_side_find(mp_session *side, const mp_session *session, int64_t deadline_ns, char kill[KILL_SIZE],
                       mp_error *err);

/* recover.c */
mp_status mp_session_recover(mp_session *session, mp_error *err);

/* flight.c */
#define MP_SEAL "the reset ends here" /* column of the last reply */
mp_status mp_flight_build(mp_session *session, mp_error *err);
bool mp_flight_takes(size_t length); /* a statement of so many bytes */
void mp_flight_add(mp_session *session, const char *sql, size_t length);
void mp_flight_record(mp_session *session, bool on);

/* reset.c */
mp_status mp_reset_send(mp_session *session, mp_error *err);
mp_status mp_reset_read(mp_session *session, mp_error *err);

/* query.c */
mp_status mp_statement_query(mp_session *session, const char *sql, size_t length, mp_error *err);
mp_status mp_statement_fetch(mp_session *session, mp_row *row, mp_error *err);
mp_status mp_statement_next_result(mp_session *session, bool *more, mp_error *err);
mp_status mp_statement_refuse(mp_session *session, mp_sql_effect effect, size_t length, mp_error *err);
void mp_statement_begin(mp_session *session, mp_sql_effect effect);
void mp_statement_head(statement_head *head, const char *sql, size_t length);
mp_status mp_statement_failed(mp_session *session, mp_error *err);
mp_status mp_statement_ping(mp_session *session, mp_error *err);
void mp_statement_summary(const mp_session *session, mp_summary *summary);
mp_column mp_statement_column(const mp_session *session, unsigned index);

/* mode.c */
void mp_mode_heed(mp_session *session, bool failed); /* after each reply, and each end of rows */
void mp_mode_rest(mp_session *session);              /* at the baseline */
void mp_mode_forget(mp_session *session);            /* something else is sent */
mp_sql_mode mp_mode_of(const mp_session *session);
mp_reading mp_mode_reading(const char *sql_mode, const char *charset_client);
mp_status mp_mode_ask(mp_session *session, mp_error *err);
mp_status mp_mode_answered(mp_session *session, mp_error *err); /* the reply has begun */

/* transaction.c */
void mp_transaction_before(mp_session *session, mp_sql_effect effect); /* a statement is sent */
void mp_transaction_answered(mp_session *session);
void mp_transaction_failed(mp_session *session, unsigned code);
bool mp_transaction_in_doubt(
    const mp_session *session); /* after a failure: any reply of the server will tell */
mp_status mp_transaction_refuse(mp_session *session, mp_error *err); /* any statement but ROLLBACK */
mp_status mp_transaction_is_watched(const mp_session *session, uint64_t number, mp_error *err);
uint64_t mp_transaction_watch(mp_session *session);
mp_status mp_transaction_unwatch(mp_session *session, mp_error *err);
void mp_transaction_spoil(mp_session *session);
void mp_transaction_forget(mp_session *session); /* it was rolled back */

/* column.c */
mp_column mp_column_of(const MYSQL_FIELD *field);

/* preparing.c: before a statement is prepared, and when its reply has been read: false when it was damaged.
 */
void mp_preparing_begin(mp_session *session);
bool mp_preparing_ended_well(const mp_session *session, const MYSQL_STMT *stmt);

/* prepared.c */
mp_status mp_prepared_prepare(mp_session *session, const char *sql, size_t length, mp_error *err);
uint64_t mp_prepared_last(const mp_session *session);
int mp_prepared_parameters(const mp_session *session, uint64_t id);
mp_status mp_prepared_execute(mp_session *session, uint64_t id, const mp_value *values, size_t rows,
                              mp_error *err);
mp_status mp_prepared_fetch(mp_session *session, mp_row *row, mp_error *err);
mp_status mp_prepared_next_result(mp_session *session, bool *more, mp_error *err);
void mp_prepared_summary(const mp_session *session, mp_summary *summary);
const MYSQL_FIELD *mp_prepared_field(const mp_session *session, unsigned index);
void mp_prepared_close(mp_session *session, uint64_t id);
void mp_prepared_end(mp_session *session);

/* close.c */
mp_liveness mp_session_peek(mp_session *session);
bool mp_session_send_tells(const mp_session *session);
bool mp_session_has_more(const mp_session *session);
bool mp_session_has_cached(const mp_session *session);
bool mp_session_has_packet(const mp_session *session);
bool mp_session_has_row(const mp_session *session);
bool mp_session_at_rest(const mp_session *session);
void mp_session_abort(mp_session *session);
void mp_session_take_leave(mp_session *session); /* when it will not be used again, and not be closed */
void mp_session_close(mp_session *session);
void mp_password_free(mp_session *session);

/* leaving.c */
void mp_leaving_add(mp_session *session);   /* is about to be closed */
void mp_leaving_take(mp_session *session);  /* is to take the place of one that was */
void mp_leaving_await(mp_session *session); /* ... which is gone then; blocks */
void mp_leaving_drop(mp_leaving *leaving);
void mp_leaving_free(mariadb_driver *driver); /* blocks while a server still has to read a farewell */

/* call.c: running one libmariadb call after the other */
mp_status mp_task_settle(mp_session *session, int events, mp_error *err);
mp_status mp_task_step(mp_session *session, mp_error *err);
bool mp_task_poll(const mp_session *session, int events, int64_t deadline_ns); /* true: one has come */
bool mp_task_wait_here(mp_session *session, int64_t deadline_ns);
mp_status mp_task_run(mp_session *session, mp_status status, int64_t deadline_ns, mp_error *err);
/* For loops over what the server sends without end: fails when time is up, or the session no longer wanted.
 */
mp_status mp_task_look(mp_session *session, int64_t deadline_ns, mp_error *err);
mp_status mp_mysql_fail(mp_session *session, mp_phase phase, mp_error *err);
mp_status mp_say(unsigned code, const char *message, const char *sqlstate, mp_phase phase, mp_error *err);

#endif
