/* The structs that the files of this folder share. */
#ifndef MYPOOL_LUA_BINDING_H
#define MYPOOL_LUA_BINDING_H

#include "compat.h"
#include "mypool.h"

/* User values of a pool. */
enum {
  POOL_WAIT = 1,
  POOL_PARK,
  POOL_NULL,
  POOL_OVERDUE,
  POOL_TYPES,
  POOL_LEFT_OPEN,
  POOL_UNTOLD,
  POOL_STATEMENT, /* the function of hooks.lua that is told of statements */
  POOL_GIVEN_UP,  /* those that it has not been told of (statement.c) */
  POOL_SPARES,    /* the names of the spares' columns (spare.c) */
  POOL_HANDLES,   /* the metatable of its connections */
  POOL_VALUES = POOL_HANDLES
};

/* The beginning of each userdata of ours: its class; for state_end.c the function that ends it, and a link in
   the list of all that the state holds. */
typedef struct leftover {
  const char *class;
  void (*end)(lua_State *L, struct leftover *self);
  struct leftover *next, **link; /* link: NULL outside of the list */
} leftover;

/* One for each state. */
typedef struct leftovers {
  leftover *connections, *pools;
  const char *calling_file; /* the name of a file that is none of ours, by its address; or NULL (place.c) */
} leftovers;

/* The buffers that a handle leaves to the next one, and how many handles leave theirs. */
enum { SPARE_BUFFERS = 5, MOST_SPARES = 8 };
typedef struct spare {
  mp_buffer buffers[SPARE_BUFFERS];
} spare;

typedef struct code_place {
  char text[LUA_IDSIZE + 12]; /* "file.lua:12", or "" */
} code_place;

typedef struct pool_data {
  leftover self; /* first; in the list while it is open */
  leftovers *all;
  mp_pool *pool;    /* NULL until it is open */
  lua_State *L;     /* of the call in progress, for the password function */
  int password;     /* reference to a string, a function or nil */
  int forget;       /* reference to the function that is told of fds and tickets, or nil */
  int unpark;       /* ... to the one that wakes whoever is parked, or nil */
  bool calling;     /* a function of the user's, in the middle of something */
  bool telling;     /* ... that is told of a statement */
  bool raising;     /* what would be returned as nil, error is raised */
  bool show_values; /* messages hide no parameters */
  bool array_rows;
  bool converting;           /* there are POOL_TYPES: converters by mp_sql_type */
  uint64_t max_result_bytes; /* 0: unlimited */
  int64_t checkout_timeout_ns;
  int64_t tell_after_ns; /* statements that took so long are told of; MP_NEVER: none */
  int64_t collected_ns;  /* when a checkout last had the garbage collected */
  int retries;
  int uncharged_kb;               /* of results, that the collector has not been told of */
  lua_Integer forgotten;          /* connections that came back by garbage collection */
  lua_Integer abandoned;          /* operations and loans that were given up, as nobody waits for them */
  lua_Integer left_open;          /* loans that ended in a transaction */
  lua_Integer statements;         /* of the program's (statement.c) */
  lua_Integer transactions_rerun; /* by the function `transaction` */
  bool untold;                    /* ... of which on_event has not been told: in POOL_UNTOLD */
  bool reading;                   /* a statement that only reads is idempotent unless it says otherwise */
  bool keeps_state;               /* sessions are not reset */
  bool autocommit_off;            /* sessions may have it off */
  int spare_count;
  spare spares[MOST_SPARES]; /* the first spare_count */
  bool is_cut;               /* all loans have been, by `close` */
  code_place cut;            /* ... called from there */
} pool_data;

/* User values of a connection: its pool, the coroutine that checked it out, the statement as the program gave
   it, what must be kept with it until it has been answered, the results so far, what a converter raised, the
   names of the columns, the guard of its operations, the converters of the statement, where it has some. */
enum {
  CONNECTION_POOL = 1,
  CONNECTION_OWNER,
  CONNECTION_SQL,
  CONNECTION_KEPT,
  CONNECTION_RESULTS,
  CONNECTION_RAISED,
  CONNECTION_NAMES,
  CONNECTION_GUARD,
  CONNECTION_TYPES,
  CONNECTION_VALUES = CONNECTION_TYPES
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

/* The call of the user's that is in progress, if there is one. */
struct call {
  lua_State *user;       /* the coroutine whose operation is unfinished */
  int wait_fd;           /* ... and what it waits for; MP_PARKED: it is parked, and the loan is its ticket */
  int64_t collect_at_ns; /* if it still stands in line then; 0: not, or not any more (collect.c) */
  bool in_converter;     /* of the option `types`, a function of the user's */
  bool in_hand;          /* of a function of ours, whose allocations may run finalizers */
  bool release_pending;  /* the connection was released by another coroutine meanwhile */
};

/* The statement that was sent last. */
struct statement {
  mp_buffer text;           /* with its parameters in it */
  mp_buffer literals;       /* where they stand in it: of type sql_literal */
  mp_buffer values;         /* those of a prepared statement: of type mp_value */
  mp_query_options options; /* ASKING: how to send it */
  int kept;                 /* ... and of how many values it and its parameters are */
  uint64_t prepared;        /* ... or its number, and for how many rows; 0: it is none */
  size_t rows;
  bool is_many;     /* execute_many is at work: what is sent meanwhile is a part of it */
  const char *once; /* the function that the connection is lent for, if it alone; else NULL (once.c) */
};

/* The form in which the program wants to have a result. */
typedef struct result_form {
  shape shape;
  bool array_rows;
  bool converting;    /* by the option `types` */
  bool own_types;     /* ... of the statement, with the pool's below them: CONNECTION_TYPES */
  bool own;           /* of a statement of mypool's, not the program's */
  uint64_t max_bytes; /* of all results of the statement; 0: unlimited */
} result_form;

/* The results of that statement. */
struct result {
  result_form form;
  int finished;     /* so many results of the statement were read */
  unsigned columns; /* of the current one */
  lua_Integer rows;
  mp_row row;                 /* fetched last, or being fetched */
  bool more;                  /* a further result follows, as far as the last one was read to its end */
  mp_buffer described;        /* its columns: of type column_type; behind them their names */
  mp_buffer described_before; /* ... when CONNECTION_NAMES was made */
  unsigned warnings;          /* as far as known */
  rejection rejected;
  uint64_t bytes; /* of all results of the statement so far */
};

/* A statement that is to be told of when it has come to its end; statement.c. */
struct account {
  bool open;
  bool has_rows, has_change; /* the next two are known */
  lua_Integer rows;          /* handed out */
  lua_Integer affected_rows;
  int64_t began_ns;
  double began, seconds; /* Unix time; until it ended */
  uint64_t id;           /* of its connection */
  code_place place;
};

/* Rows that are fetched one by one. */
struct stream {
  bool open;                     /* not all have been fetched */
  bool seeking;                  /* ... at the end of a result: another one may follow */
  uint64_t drained, drain_limit; /* bytes read since it was left */
};

typedef struct connection {
  leftover self; /* first; in the list while there is a loan */
  mp_loan *loan; /* NULL until there is one */
  pool_data *pool;
  activity activity;
  bool used;      /* for a statement */
  bool equipped;  /* with what an earlier handle left, if one did */
  bool abandoned; /* its session went back to the pool in the middle of something */
  struct call call;
  struct statement statement;
  struct result result;
  struct stream stream;
  struct account *account; /* NULL until there was one in this loan */
  code_place taken, ended; /* by checkout, by release */
} connection;

typedef struct sql_literal {
  size_t start, length;
  int parameter;    /* that it is, or is an item of */
  const char *name; /* ... in the program's text, if it has one */
  size_t name_length;
} sql_literal;

#endif
