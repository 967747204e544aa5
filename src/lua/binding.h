/* The userdata classes as the files of this folder share them. */
#ifndef MYPOOL_LUA_BINDING_H
#define MYPOOL_LUA_BINDING_H

#include "compat.h"
#include "mypool.h"

/* The names of the classes; by their addresses the registry keeps the metatables. */
extern const char POOL_CLASS[], CONNECTION_CLASS[], ERROR_CLASS[];
extern const char GUARD_CLASS[];
extern const char LIST_CLASS[], IDENTIFIER_CLASS[], BINARY_CLASS[];

/* User values of a pool. */
enum {
  POOL_WAIT = 1,
  POOL_NULL,
  POOL_OVERDUE,
  POOL_TYPES,
  POOL_LEFT_OPEN,
  POOL_UNTOLD,
  POOL_VALUES = POOL_UNTOLD
};

/* What the userdata of a class begin with: the class, and a link in the list of all that the state holds
   (state_end.c). */
typedef struct leftover {
  const char *class;
  struct leftover *next, **link; /* link: NULL outside of the list */
} leftover;

typedef struct leftovers {
  leftover *connections, *pools;
} leftovers;

typedef struct pool_data {
  leftover self; /* first; in the list while it is open */
  leftovers *all;
  mp_pool *pool; /* NULL until it is open */
  lua_State *L;  /* of the call in progress, for the password function */
  int password;  /* reference to a string, a function or nil */
  int forget;    /* reference to the function that is told of fds, or nil */
  bool calling;  /* a function of the user's, in the middle of something */
  bool array_rows;
  bool converting;           /* there are POOL_TYPES: converters by mp_sql_type */
  uint64_t max_result_bytes; /* 0: unlimited */
  int64_t checkout_timeout_ns;
  int64_t collected_ns; /* when a checkout last had the garbage collected */
  int retries;
  int uncharged_kb;      /* of results, that the collector has not been told of */
  lua_Integer forgotten; /* connections that came back by garbage collection */
  lua_Integer left_open; /* loans that ended in a transaction */
  bool untold;           /* ... of which on_event has not been told: in POOL_UNTOLD */
  bool keeps_state;      /* sessions are not reset */
  bool autocommit_off;   /* sessions may have it off */
} pool_data;

/* User values of a connection: its pool, the coroutine that checked it out, the statement's text,
   the results so far, what a converter raised, the names of the columns, the guard of its
   operations. */
enum {
  CONNECTION_POOL = 1,
  CONNECTION_OWNER,
  CONNECTION_SQL,
  CONNECTION_RESULTS,
  CONNECTION_RAISED,
  CONNECTION_NAMES,
  CONNECTION_GUARD,
  CONNECTION_VALUES = CONNECTION_GUARD
};

typedef enum activity {
  IDLE,
  CHECKING_OUT,
  PAUSING,
  PINGING,
  RESETTING,
  PREPARING,
  ASKING, /* how the session reads a statement, which is then sent */
  QUERYING,
  READING_ROWS,
  SEEKING_RESULT,
  STREAMING,
  DRAINING
} activity;
typedef enum shape { SHAPE_RESULT, SHAPE_ROW, SHAPE_VALUE, SHAPE_STREAM } shape;

/* Why a result is read to its end and not returned. */
typedef enum rejection { NOT_REJECTED, TOO_LARGE, NOT_CONVERTED, MALFORMED } rejection;

typedef struct column_type {
  mp_type type;
  mp_sql_type sql_type;
  unsigned name_length;
} column_type;

typedef struct code_place {
  char text[LUA_IDSIZE + 12]; /* "file.lua:12", or "" */
} code_place;

typedef struct connection {
  leftover self; /* first; in the list while there is a loan */
  mp_loan *loan; /* NULL until there is one */
  pool_data *pool;
  activity activity;
  bool used;             /* for a statement */
  bool release_pending;  /* once the operation of `user` has ended */
  bool abandoned;        /* its session went back to the pool in the middle of something */
  lua_State *user;       /* the coroutine whose operation is unfinished */
  int wait_fd;           /* ... and what it waits for */
  int64_t collect_at_ns; /* if it still stands in line then; 0: not, or not any more */
  shape shape;
  bool array_rows;
  bool converting;  /* by the option `types` */
  int results;      /* finished ones */
  unsigned columns; /* of the current one */
  lua_Integer rows;
  mp_buffer described;        /* its columns: of type column_type; behind them their names */
  mp_buffer described_before; /* ... when CONNECTION_NAMES was made */
  unsigned warnings;          /* of the current result, as far as known */
  rejection rejected;
  bool in_converter;                       /* of the option `types`, a function of the user's */
  bool in_hand;                            /* of a function of ours, whose allocations may run finalizers */
  uint64_t result_bytes, max_result_bytes; /* of all results of the statement; 0: unlimited */
  mp_buffer values;                        /* parameters of a prepared statement: of type mp_value */
  bool streaming;                          /* rows are fetched one by one, and not all have been */
  bool seeking;                            /* ... at the end of a result: another one may follow */
  uint64_t drained, drain_limit;           /* bytes read since a stream was left */
  mp_buffer text;                          /* the statement with its parameters in it */
  mp_buffer literals;                      /* where they stand: of type sql_literal */
  mp_query_options asked_for;              /* ASKING: how to send the statement */
  int kept;                                /* ... and of how many values it and its parameters are */
  const char *once;                        /* the function that it is lent for, if it alone; else NULL */
  code_place taken, ended;                 /* by checkout, by release */
} connection;

typedef struct sql_literal {
  size_t start, length;
} sql_literal;

/* place.c */
code_place place_of_caller(lua_State *L);
code_place place_from(lua_State *L, int level);   /* of the stack; 0: the C function that was called */
int raise(lua_State *L, const char *format, ...); /* at the caller's place */
int raise_type(lua_State *L, const char *function, const char *argument, const char *expected, int index);
int core_internal(lua_State *L);
int core_raise(lua_State *L);

/* error.c: pushes nil, error, errno, sqlstate and returns their number */
int push_failure(lua_State *L, const mp_error *err);
void errors_open(lua_State *L);

/* parameters.c */
bool encode_statement(lua_State *L, connection *conn, int sql, int first, int last, const mp_sql_mode *mode);
void classes_open(lua_State *L);

/* scrub.c */
/* Forgets the last statement, of which the messages of the next one are not made. */
void scrub_begin(connection *conn);
void scrub(mp_error *err, const connection *conn);

/* cells.c: push_cell and push_binary return false, and push something, for what is no value of that type */
void push_unsigned(lua_State *L, uint64_t value);
bool push_cell(lua_State *L, mp_type type, const char *cell, size_t length);
bool push_binary(lua_State *L, mp_type type, const mp_value *value);

/* read.c */
mp_status results_read(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err);
void results_keep(lua_State *L, int self, int first);
void results_restore(lua_State *L, int self, connection *conn);

void row_push(lua_State *L, connection *conn, const mp_row *row, int null);
void row_push_names(lua_State *L, int self, connection *conn);
uint64_t row_size(const connection *conn, const mp_row *row);
int results_refuse(lua_State *L, connection *conn, mp_error *err);

/* collector.c: how much memory is in use, in KiB */
int collector_stop(lua_State *L, pool_data *pool, bool begins);
void collector_go_on(lua_State *L, pool_data *pool, int before_kb);

/* When a result is not wanted any more, so much is read for the sake of the session; then it is
   given up. */
enum { WORTH_DRAINING = 64 * 1024 };

/* left_open.c: of the pool at this index */
void note_left_open(lua_State *L, int index, const char *place, uint64_t id);
void report_left_open(lua_State *L, int index); /* calls the user's on_event */

/* once.c */
void once_begin(lua_State *L, connection *conn, const char *function, int index);
void once_end(lua_State *L, connection *conn);
int core_check_locks(lua_State *L);
int core_end_once(lua_State *L);

/* state_end.c */
void leftovers_open(lua_State *L);
leftovers *leftovers_of(lua_State *L);
void leftover_join(leftover **list, leftover *one);
void leftover_leave(leftover *one);

/* types.c */
const char *sql_type_name(mp_sql_type type);
void types_open(lua_State *L);

/* stream.c */
int refuse_within_stream(lua_State *L);
int core_fetch(lua_State *L);
int core_drain(lua_State *L);
int stream_step(lua_State *L, connection *conn, mp_wait *wait, mp_error *err);

/* prepared.c */
int core_prepare(lua_State *L);
int core_execute(lua_State *L);
int core_close_prepared(lua_State *L);
int core_row(lua_State *L);
int core_execute_many(lua_State *L);
int core_parameters(lua_State *L);

/* connection.c */
connection *check_connection(lua_State *L, const char *function);
connection *check_held(lua_State *L, const char *function);
/* Pushes a handle without a session; the pool is at index 1. */
connection *connection_new(lua_State *L, pool_data *pool);
void connection_give_back(lua_State *L, connection *conn, bool reset); /* at index 1 */
void connection_end(lua_State *L, connection *conn);                   /* its session is closed */
void connection_abandon(lua_State *L, connection *conn); /* at index 1; nobody waits for it any more */
void connection_report(lua_State *L, connection *conn);  /* may call the user's on_event */
void connection_open(lua_State *L);
int core_connection(lua_State *L);
int core_held(lua_State *L);
int core_give_back(lua_State *L);
int core_abandon(lua_State *L);

/* call.c: of an operation of the connection at index 1 */
void connection_begin(lua_State *L, connection *conn, activity what);
int connection_proceed(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err);
int connection_waits(lua_State *L, connection *conn, const mp_wait *wait);
int connection_failed(lua_State *L, connection *conn, mp_error *err);
void connection_settle(lua_State *L, connection *conn);
int core_step(lua_State *L);

/* guard.c: pushes what the Lua side keeps in a <close> variable while an operation waits; nil where the
   language has none */
void guard_push(lua_State *L, connection *conn);
void guard_open(lua_State *L);

/* collect.c: of a checkout that stands in line */
void collect_later(connection *conn, int64_t timeout_ns);
int64_t collect_time(const connection *conn); /* MP_NEVER: not at all */
void collect_if_due(lua_State *L, connection *conn);

/* operation.c */
void read_options(lua_State *L, int index, connection *conn, mp_query_options *options, const char *function);
int core_checkout(lua_State *L);
int core_query(lua_State *L);
mp_status query_after_asking(lua_State *L, connection *conn, mp_wait *wait, mp_error *err);
int core_ping(lua_State *L);
int core_pause(lua_State *L);
int core_reset(lua_State *L);
int core_slot(lua_State *L);
int core_fresh(lua_State *L);
int core_record(lua_State *L);

/* transactions.c */
int core_watch(lua_State *L);
int core_watches(lua_State *L);
int core_unwatch(lua_State *L);
int core_spoil(lua_State *L);
int core_retries(lua_State *L);
int core_retiring(lua_State *L);

/* pool.c */
void pool_open(lua_State *L);
void pool_end(lua_State *L, pool_data *pool);
pool_data *check_pool(lua_State *L, int index, const char *function);
void pool_forget_fd(void *pool, int fd); /* tells the wait adapter that nobody waits for it any more */
/* Tells the user of the pool at this index. */
void report_overdue(lua_State *L, int index, const mp_holder *overdue);
int core_new(lua_State *L);
int core_shut(lua_State *L);
int core_abort(lua_State *L);
int core_now(lua_State *L);
int core_events(lua_State *L);
int core_holders(lua_State *L);
int core_wait(lua_State *L);
/* Seconds, which may be absent (then `absent_ns`), as nanoseconds. */
int64_t check_seconds(lua_State *L, int index, const char *function, const char *argument, int64_t absent_ns);

/* core.c */
/* Makes the metatable of a class and pushes it; push_class pushes it again. */
void new_class(lua_State *L, const char *class);
void push_class(lua_State *L, const char *class);
bool is_class(lua_State *L, int index, const char *class);
/* The userdata of that class, or NULL. */
void *test_class(lua_State *L, int index, const char *class);
/* Takes the value on top of the stack away; a string goes into the array at index `kept`, and lives as long
   as that. */
void keep_string(lua_State *L, int kept);
/* Leaves the table of methods, to which the Lua side adds, in the table on top of the stack. */
void open_class(lua_State *L, const char *name, const luaL_Reg *methods, const luaL_Reg *metamethods);

#endif
