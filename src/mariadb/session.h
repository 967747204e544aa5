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

/* Earlier versions lack what the login is restricted with, and errors of TLS that can be told apart. */
#define OLDEST_CONNECTOR_C 30300
#if !defined MARIADB_PACKAGE_VERSION_ID || MARIADB_PACKAGE_VERSION_ID < OLDEST_CONNECTOR_C
#error "mypool needs the headers of MariaDB Connector/C 3.3 or later (Debian: libmariadb-dev)"
#endif

/* A connection that the server may still count. */
typedef struct mp_closing {
  unsigned host;
  int fd; /* a second descriptor of its socket; -1: none */
  int64_t since_ns;
  int64_t until_ns;    /* it may be counted until then, although the socket has ended */
  bool answer_pending; /* the server had not answered all when it was told of the end */
} mp_closing;

/* How a statement begins: by it the server's list of threads shows whose it is. */
typedef struct statement_head {
  char text[512];
  size_t length;
} statement_head;

typedef struct mariadb_driver {
  mp_driver face; /* first: the pool sees only this */
  mp_server server;
  mp_address *addresses;
  char **names; /* of the hosts, by their numbers */
  char **init_sql;
  mp_wakeups *wakeups;
  mp_pollsets *pollsets;
  mp_closing *closing; /* the oldest first */
  size_t closing_count, closing_capacity;
  bool no_more_sessions;   /* will follow */
  uint64_t last_statement; /* number of a prepared statement */

  /* For the end of the program. */
  struct mariadb_driver *next;
  pthread_t thread; /* that the pool belongs to */
  unsigned fork_generation;
  pthread_mutex_t lock; /* of the list of sessions, and of their helpers' beginning and end */
  mp_session *sessions;
} mariadb_driver;

/* A prepared statement. */
typedef struct prepared {
  MYSQL_STMT *stmt;
  uint64_t id;
  statement_head head;
  mp_sql_effect effect;
  bool may_set_charset;
  unsigned parameters;
  MYSQL_BIND *binds; /* of the parameters */
  unsigned room;     /* columns that the next two hold */
  mp_value *values;  /* of the row just fetched */
  char *scratch;     /* for its dates and times */
  struct prepared *next;
} prepared;

/* The text that a session takes for what it is, by the character sets of client and connection: all of UTF-8,
   or that without characters of four bytes, or only ASCII. */
typedef struct charset_belief {
  bool utf8, utf8mb4; /* utf8mb4 or utf8mb3; utf8mb4 */
  bool in_doubt;      /* a statement since may have chosen another one, without a word from the server */
} charset_belief;

/* The state of a session right after connect and init SQL, as far as something has to lead back to it. */
typedef struct baseline {
  char *role;             /* in force after connect, on MySQL as SQL; NULL: none */
  char *init_connect;     /* the server's own init SQL for this account; "": none */
  char *database;         /* NULL: none */
  char *collation;        /* collation_connection after connect; "": of another charset than asked for */
  unsigned wait_timeout;  /* seconds */
  size_t max_packet;      /* bytes */
  uint64_t connection_id; /* CONNECTION_ID(): the greeting's may be a proxy's */
  char *identity;         /* of the server: host name, port, server_id, unique name */
  char *charset_client;   /* @@character_set_client, after init SQL as all that follow */
  bool no_backslash_escapes, empty_string_is_null; /* of the sql_mode */
  charset_belief charset;                          /* at the end of on_connect */
  mp_reading login;                                /* before init SQL: how init_connect is read */
  bool login_tx_read_only;                         /* before init SQL: what a reset returns to */
  bool autocommit, tx_read_only;
  bool rolls_back_on_timeout; /* @@innodb_rollback_on_timeout, which nobody can change */
  bool has_roles;             /* the account may SET ROLE */
  bool is_mariadb;
  bool on_galera;     /* at a node of a cluster */
  bool writable;      /* the server was not read-only; asked where there is a need */
  bool lost_by_reset; /* a reset would not lead back here: the session is to be closed instead */
} baseline;

/* The way in which the session reads SQL text, as its server has told it. */
struct mode {
  bool strayed;       /* a status since the baseline was not by its sql_mode */
  bool untold;        /* the last reply had no status */
  bool asking;        /* the statement in progress asks */
  bool told;          /* ... and was answered; nothing was sent since */
  mp_reading reading; /* the answer */
  charset_belief charset;
  bool charset_awaited; /* the statement in progress may choose another one, and its reply may tell */
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

/* One of libmariadb's resumable calls. Both functions return what it waits for, 0 when it is over. */
typedef struct mp_call_kind {
  int (*start)(mp_session *session);
  int (*cont)(mp_session *session, int ready);
} mp_call_kind;

/* call.c: the libmariadb call in progress, and what takes its outcome. */
struct call {
  const mp_call_kind *kind; /* NULL: none */
  bool is_made;             /* else it has only been named */
  mp_status (*after)(mp_session *, mp_error *);
  int events;                 /* MYSQL_WAIT_… that it waits for, or that is waited for before it is made */
  int outcome;                /* of calls that return a number ... */
  my_bool flag;               /* ... or a truth value */
  PVIO_METHODS reading;       /* libmariadb's functions for the socket, but for one of ours */
  PVIO_METHODS *ordinary;     /* all of them its own; NULL: they are in use as they are */
  int64_t may_block_until_ns; /* until then a read may wait in place; 0: not at all */
  bool answer_pending;        /* the next read would be in vain */
};

/* login.c */
struct login {
  MYSQL *connected;
  bool greeted;     /* the server has begun to speak */
  bool lacks_tls;   /* ... and has none, so that nothing may be sent */
  bool is_stranger; /* ... in another protocol */
  char *password;   /* for the connect, and to stop a statement */
  int64_t limit_ns; /* of the connect: how long it may take */
  bool is_cut;      /* ... which is less than connect_timeout */
};

/* query.c: the statement in progress. */
struct text {
  const char *sql;
  size_t length;
  statement_head head; /* also of a prepared one; the text itself may be gone */
  bool takes_flight;   /* the reset is sent behind it */
  mp_error failure;    /* while the server is asked what became of the transaction */
};

/* prepared.c: the prepared statements of the loan. */
struct prepared_part {
  prepared *first;
  prepared *preparing; /* being prepared */
  prepared *executing; /* its results are not read to their end */
  uint64_t newest_id;
  bool in_rows; /* of `executing` */
};

/* preparing.c: libmariadb's functions for the protocol. */
struct preparing {
  struct st_mariadb_methods methods;         /* but for some of ours */
  const struct st_mariadb_methods *ordinary; /* all of them its own; NULL: they are in use as they are */
};

/* flight.c: what a reset sends. */
struct flight {
  mp_buffer packets; /* ready to send */
  unsigned replies;
  size_t built_length; /* without the statements of on_connect */
  unsigned built_replies;
  unsigned guard_reply, profiles_reply; /* which of the replies are those to the guard and to SHOW PROFILES */
  unsigned own_replies;                 /* to mypool's own packets; those of anybody come behind them */
  unsigned seal_reply; /* ... and the last, behind statements of any kind; 0: there are none */
  size_t seal_length;  /* of the packets before it */
  bool recording;      /* statements become part of the baseline */
};

/* reset.c: how much of the flight is under way. */
struct reset {
  size_t sent;              /* bytes */
  unsigned unsent;          /* packets */
  unsigned replies_pending; /* not read yet, those to come of `unsent` too */
  unsigned rows;            /* passed over in the result that is read */
};

/* familiar.c: the replies to a whole flight that were right, and what libmariadb knew when it had read them.
 */
struct familiar {
  mp_buffer replies; /* empty: none are familiar */
  bool is_written;   /* what libmariadb reads belongs to them */
  unsigned status, warnings;
  const void *charset;
};

struct mp_session {
  mariadb_driver *driver;
  MYSQL *mysql;
  unsigned host;            /* its number */
  mp_address address;       /* of its server; the strings are the driver's */
  char *numeric_host;       /* to connect to in the place of the name; NULL: by name */
  unsigned fork_generation; /* of the process that owns the server's connection */
  baseline base;
  mp_pollset *pollset;

  MYSQL_RES *result; /* open until its last row was read */
  MYSQL_ROW row;
  mp_row *fetched;    /* where the caller wants to have the row that is fetched */
  bool arrived;       /* the row, from the network: it had not been read ahead */
  prepared *executed; /* what the last reply belongs to; NULL: to a text statement */
  mp_row run_row;     /* fetched by blocking.c */
  unsigned run_rows;  /* ... so many */

  int64_t connect_begun_ns, connect_ended_ns; /* 0: it has not */

  struct call call;
  struct login login;
  struct text text;
  struct mode mode;
  struct prepared_part prepared;
  struct preparing preparing;
  struct flight flight;
  struct reset reset;
  struct familiar familiar;
  transaction transaction;

  mp_session *stop_with;    /* serves that one, and is to stop when it is; NULL: none */
  mp_closing closing;       /* whose place it takes */
  struct helper *helper;    /* the thread that has it in hand; NULL: none */
  mp_session *next, **link; /* of the driver; link is NULL for a connection that serves another session */
};

#endif
