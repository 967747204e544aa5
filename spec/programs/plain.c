/* Bare libmariadb for Lua, to compare with: a connection that nobody cleans unless reset or
   change_user is called. Failures return nil, message, errno.

     conn = plain.connect { socket =, host =, port =, user =, password =, database =, charset =, ca = }
     conn:query(sql, ...)       rows, as arrays; `?` becomes a quoted, escaped string. All results are read
     conn:value(sql, ...)       the first cell of the first row
     conn:send(sql)             leaves the reply unread
     conn:stream(sql)           reads one row
     conn:first_result(sql)     reads the first of several results
     conn:multi_statements()    lets one query hold several statements
     conn:prepare(sql [, cursor])   stmt; stmt:execute(), stmt:fetch()
     conn:reset()               mysql_reset_connection()
     conn:change_user()         mysql_change_user() to the same account and database
     conn:in_transaction(), conn:id(), conn:close()
     plain.poll(fd, seconds)    for wait functions                                             */
#include <errmsg.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <mysql.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static const char connection_class[] = "spec.plain.connection";
static const char statement_class[] = "spec.plain.statement";

typedef struct plain {
  MYSQL *mysql;
  MYSQL_RES *unread;
  char *user, *password, *database;
  bool cut;   /* the client's memory of it can no longer be trusted */
  bool reset; /* since the last prepare */
} plain;

typedef struct statement {
  MYSQL_STMT *stmt;
  plain *conn;
} statement;

/* ---- helpers ---- */

static plain *check_open(lua_State *L) {
  plain *conn = luaL_checkudata(L, 1, connection_class);
  luaL_argcheck(L, conn->mysql, 1, "closed");
  return conn;
}

static int fail(lua_State *L, const char *message, unsigned code) {
  lua_pushnil(L);
  lua_pushstring(L, message);
  lua_pushinteger(L, code);
  return 3;
}

static bool is_loss(unsigned code) {
  return code == CR_SERVER_GONE_ERROR || code == CR_SERVER_LOST;
}

static int mysql_failed(lua_State *L, plain *conn) {
  unsigned code = mysql_errno(conn->mysql);
  conn->cut |= is_loss(code);
  return fail(L, mysql_error(conn->mysql), code);
}

static int done(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

/* ---- connecting ---- */

static const char *text_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  const char *text = lua_tostring(L, -1);
  return text; /* stays on the stack: the table owns it */
}

static char *copy(const char *text) {
  return text ? strdup(text) : NULL;
}

static void set_options(lua_State *L, MYSQL *mysql) {
  const char *charset = text_field(L, "charset"), *ca = text_field(L, "ca");
  unsigned seconds = 3;
  my_bool yes = 1;
  mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
  mysql_options(mysql, MYSQL_SET_CHARSET_NAME, charset ? charset : "utf8mb4");
  if (ca) {
    mysql_options(mysql, MYSQL_OPT_SSL_CA, ca);
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
  }
}

/* connect(options) */
static int plain_connect(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkstack(L, 12, NULL);
  plain *conn = lua_newuserdatauv(L, sizeof *conn, 0);
  memset(conn, 0, sizeof *conn);
  luaL_setmetatable(L, connection_class);
  int handle = lua_gettop(L);
  conn->mysql = mysql_init(NULL);
  set_options(L, conn->mysql);
  conn->user = copy(text_field(L, "user"));
  conn->password = copy(text_field(L, "password"));
  conn->database = copy(text_field(L, "database"));
  const char *socket = text_field(L, "socket"), *host = text_field(L, "host");
  lua_getfield(L, 1, "port");
  unsigned port = (unsigned)lua_tointeger(L, -1);
  if (!mysql_real_connect(conn->mysql, socket ? NULL : host, conn->user, conn->password, conn->database, port,
                          socket, CLIENT_MULTI_RESULTS))
    return mysql_failed(L, conn);
  lua_pushvalue(L, handle);
  return 1;
}

/* ---- statements ---- */

/* Each ? becomes a quoted string, escaped as the client believes that the server wants it. */
static void push_sql(lua_State *L, plain *conn) {
  size_t length, size;
  const char *sql = luaL_checklstring(L, 2, &length), *end = sql + length;
  int parameter = 3, last = lua_gettop(L);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (; sql < end; sql++) {
    if (*sql != '?' || parameter > last) {
      luaL_addchar(&buffer, *sql);
      continue;
    }
    const char *text = luaL_checklstring(L, parameter++, &size);
    char *escaped = malloc(2 * size + 1);
    size = mysql_real_escape_string(conn->mysql, escaped, text, size);
    luaL_addchar(&buffer, '\'');
    luaL_addlstring(&buffer, escaped, size);
    luaL_addchar(&buffer, '\'');
    free(escaped);
  }
  luaL_pushresult(&buffer);
}

static bool run(lua_State *L, plain *conn) {
  size_t length;
  push_sql(L, conn);
  const char *sql = lua_tolstring(L, -1, &length);
  return mysql_real_query(conn->mysql, sql, length) == 0;
}

static void push_rows(lua_State *L, MYSQL_RES *result) {
  MYSQL_ROW row;
  lua_newtable(L);
  while (result && (row = mysql_fetch_row(result))) {
    unsigned long *lengths = mysql_fetch_lengths(result);
    lua_newtable(L);
    for (unsigned i = 0; i < mysql_num_fields(result); i++) {
      if (row[i])
        lua_pushlstring(L, row[i], lengths[i]);
      else
        lua_pushnil(L);
      lua_rawseti(L, -2, i + 1);
    }
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
}

static bool take_result(lua_State *L, plain *conn) {
  MYSQL_RES *result = mysql_store_result(conn->mysql);
  if (!result && mysql_errno(conn->mysql))
    return false;
  push_rows(L, result);
  mysql_free_result(result);
  return true;
}

/* query(conn, sql, ...) */
static int plain_query(lua_State *L) {
  plain *conn = check_open(L);
  if (conn->cut)
    return fail(L, "cut", CR_SERVER_LOST);
  if (!run(L, conn) || !take_result(L, conn))
    return mysql_failed(L, conn);
  int first = lua_gettop(L), more;
  while ((more = mysql_next_result(conn->mysql)) == 0)
    if (!take_result(L, conn))
      return mysql_failed(L, conn);
  if (more > 0)
    return mysql_failed(L, conn);
  lua_pushvalue(L, first);
  return 1;
}

/* value(conn, sql, ...) */
static int plain_value(lua_State *L) {
  int count = plain_query(L);
  if (count > 1)
    return count;
  lua_rawgeti(L, -1, 1);
  if (lua_isnil(L, -1))
    return 1;
  lua_rawgeti(L, -1, 1);
  return 1;
}

/* ---- what is left unread ---- */

/* send(conn, sql) */
static int plain_send(lua_State *L) {
  plain *conn = check_open(L);
  size_t length;
  const char *sql = luaL_checklstring(L, 2, &length);
  return mysql_send_query(conn->mysql, sql, length) ? mysql_failed(L, conn) : done(L);
}

/* stream(conn, sql) */
static int plain_stream(lua_State *L) {
  plain *conn = check_open(L);
  if (!run(L, conn) || !(conn->unread = mysql_use_result(conn->mysql)) || !mysql_fetch_row(conn->unread))
    return mysql_failed(L, conn);
  return done(L);
}

/* first_result(conn, sql) */
static int plain_first_result(lua_State *L) {
  plain *conn = check_open(L);
  return run(L, conn) && take_result(L, conn) ? done(L) : mysql_failed(L, conn);
}

/* multi_statements(conn) */
static int plain_multi_statements(lua_State *L) {
  plain *conn = check_open(L);
  return mysql_set_server_option(conn->mysql, MYSQL_OPTION_MULTI_STATEMENTS_ON) ? mysql_failed(L, conn)
                                                                                : done(L);
}

/* ---- prepared statements ---- */

/* prepare(conn, sql [, cursor]) */
static int plain_prepare(lua_State *L) {
  plain *conn = check_open(L);
  size_t length;
  const char *sql = luaL_checklstring(L, 2, &length);
  unsigned long cursor = lua_toboolean(L, 3) ? CURSOR_TYPE_READ_ONLY : CURSOR_TYPE_NO_CURSOR, one = 1;
  statement *s = lua_newuserdatauv(L, sizeof *s, 1);
  s->conn = conn;
  s->stmt = mysql_stmt_init(conn->mysql);
  luaL_setmetatable(L, statement_class);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  mysql_stmt_attr_set(s->stmt, STMT_ATTR_CURSOR_TYPE, &cursor);
  mysql_stmt_attr_set(s->stmt, STMT_ATTR_PREFETCH_ROWS, &one);
  conn->reset = false;
  if (mysql_stmt_prepare(s->stmt, sql, length))
    return fail(L, mysql_stmt_error(s->stmt), mysql_stmt_errno(s->stmt));
  return 1;
}

/* execute(stmt) */
static int statement_execute(lua_State *L) {
  statement *s = luaL_checkudata(L, 1, statement_class);
  if (mysql_stmt_execute(s->stmt))
    return fail(L, mysql_stmt_error(s->stmt), mysql_stmt_errno(s->stmt));
  return done(L);
}

/* fetch(stmt): the first column of the next row. Through a cursor that a reset has closed, it
   would crash in the client library. */
static int statement_fetch(lua_State *L) {
  statement *s = luaL_checkudata(L, 1, statement_class);
  char text[256];
  unsigned long length = 0;
  MYSQL_BIND bind = {
      .buffer_type = MYSQL_TYPE_STRING, .buffer = text, .buffer_length = sizeof text, .length = &length};
  if (s->conn->reset)
    return fail(L, "would crash", 0);
  if (mysql_stmt_bind_result(s->stmt, &bind) || mysql_stmt_fetch(s->stmt) == 1)
    return fail(L, mysql_stmt_error(s->stmt), mysql_stmt_errno(s->stmt));
  lua_pushlstring(L, text, length < sizeof text ? length : sizeof text);
  return 1;
}

static int statement_gc(lua_State *L) {
  statement *s = luaL_checkudata(L, 1, statement_class);
  if (s->stmt && s->conn->mysql && !s->conn->cut && !s->conn->reset)
    mysql_stmt_close(s->stmt);
  s->stmt = NULL;
  return 0;
}

/* ---- cleaning ---- */

static sigjmp_buf escape;

static void on_alarm(int signal_number) {
  (void)signal_number;
  siglongjmp(escape, 1);
}

/* With results pending libmariadb may spin for ever. What was left in the middle of that is
   never touched again. */
static int within_seconds(plain *conn, int (*clean)(plain *)) {
  struct sigaction action = {.sa_handler = on_alarm}, before;
  struct itimerval limit = {.it_value.tv_sec = 2}, none = {0};
  volatile int result = -1;
  sigaction(SIGALRM, &action, &before);
  if (sigsetjmp(escape, 1) == 0) {
    setitimer(ITIMER_REAL, &limit, NULL);
    result = clean(conn);
  } else {
    conn->cut = true;
  }
  setitimer(ITIMER_REAL, &none, NULL);
  sigaction(SIGALRM, &before, NULL);
  return result;
}

static int reset(plain *conn) {
  return mysql_reset_connection(conn->mysql) != 0;
}

static int change_user(plain *conn) {
  return mysql_change_user(conn->mysql, conn->user, conn->password, conn->database) != 0;
}

/* After a loss mysql_change_user would write into freed memory. */
static int clean_with(lua_State *L, int (*clean)(plain *)) {
  plain *conn = check_open(L);
  if (conn->cut)
    return fail(L, "lost", CR_SERVER_LOST);
  int result = within_seconds(conn, clean);
  conn->reset = true;
  if (result < 0)
    return fail(L, "hangs", 0);
  return result > 0 ? mysql_failed(L, conn) : done(L);
}

/* reset(conn) */
static int plain_reset(lua_State *L) {
  return clean_with(L, reset);
}

/* change_user(conn) */
static int plain_change_user(lua_State *L) {
  return clean_with(L, change_user);
}

/* ---- the rest ---- */

/* id(conn) */
static int plain_id(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)mysql_thread_id(check_open(L)->mysql));
  return 1;
}

/* in_transaction(conn): as the client believes. */
static int plain_in_transaction(lua_State *L) {
  lua_pushboolean(L, check_open(L)->mysql->server_status & SERVER_STATUS_IN_TRANS);
  return 1;
}

/* Freeing a result would read the rest of it, and saying goodbye could block: the socket goes first. */
static int plain_close(lua_State *L) {
  plain *conn = luaL_checkudata(L, 1, connection_class);
  MYSQL *mysql = conn->mysql;
  conn->mysql = NULL;
  if (mysql && mysql->net.pvio)
    shutdown(mysql_get_socket(mysql), SHUT_RDWR);
  if (mysql && !conn->cut) {
    mysql_free_result(conn->unread);
    mysql_close(mysql);
  }
  free(conn->user);
  free(conn->password);
  free(conn->database);
  conn->user = conn->password = conn->database = NULL;
  return 0;
}

/* poll(fd [, seconds]) */
static int plain_poll(lua_State *L) {
  struct pollfd wanted = {.fd = (int)luaL_checkinteger(L, 1), .events = POLLIN};
  lua_pushboolean(L, poll(&wanted, 1, (int)ceil(luaL_optnumber(L, 2, -0.001) * 1000)) > 0);
  return 1;
}

static const luaL_Reg connection_methods[] = {
    {"query", plain_query},
    {"value", plain_value},
    {"send", plain_send},
    {"stream", plain_stream},
    {"first_result", plain_first_result},
    {"multi_statements", plain_multi_statements},
    {"prepare", plain_prepare},
    {"reset", plain_reset},
    {"change_user", plain_change_user},
    {"id", plain_id},
    {"in_transaction", plain_in_transaction},
    {"close", plain_close},
    {"__gc", plain_close},
    {"__close", plain_close},
    {NULL, NULL},
};

static const luaL_Reg statement_methods[] = {
    {"execute", statement_execute},
    {"fetch", statement_fetch},
    {"__gc", statement_gc},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"connect", plain_connect},
    {"poll", plain_poll},
    {NULL, NULL},
};

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

__attribute__((visibility("default"))) int luaopen_spec_plain(lua_State *L);

int luaopen_spec_plain(lua_State *L) {
  new_class(L, connection_class, connection_methods);
  new_class(L, statement_class, statement_methods);
  luaL_newlib(L, functions);
  lua_pushstring(L, mysql_get_client_info());
  lua_setfield(L, -2, "client_version");
  return 1;
}
