/* A statement of the text protocol: its options, its text with the parameters in it, its sending. */
#include "query.h"

#include "call.h"
#include "connection.h"
#include "parameters.h"
#include "scrub.h"
#include "statement.h"
#include "stream.h"
#include "types.h"

static lua_Number number_option(lua_State *L, int index, const char *name, lua_Number absent) {
  lua_getfield(L, index, name);
  lua_Number number = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : absent;
  lua_pop(L, 1);
  return number;
}

static bool flag_option(lua_State *L, int index, const char *name, bool absent) {
  lua_getfield(L, index, name);
  bool flag = lua_isnil(L, -1) ? absent : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

static bool rows_option(lua_State *L, int index, bool absent) {
  lua_getfield(L, index, "rows");
  bool array = lua_isstring(L, -1) ? strcmp(lua_tostring(L, -1), "array") == 0 : absent;
  lua_pop(L, 1);
  return array;
}

/* Statements of our own have it: values as the server has them, all of them. */
static bool is_raw(lua_State *L, int index) {
  lua_pushliteral(L, "raw");
  lua_rawget(L, index);
  bool raw = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return raw;
}

static void set_converters(lua_State *L, int from, int to) {
  for (lua_pushnil(L); lua_next(L, from); lua_pop(L, 1)) {
    int type = lua_type(L, -2) == LUA_TSTRING ? sql_type_number(lua_tostring(L, -2)) : -1;
    if (type >= 0 && (lua_isfunction(L, -1) || lua_isboolean(L, -1))) {
      lua_pushvalue(L, -1);
      lua_rawseti(L, to, type);
    }
  }
}

/* Puts the statement's converters in the place of its options: they stand above the pool's, type by type. */
static void read_types(lua_State *L, int index, result_form *form) {
  lua_getfield(L, index, "types");
  form->own_types = lua_istable(L, -1);
  if (!form->own_types) {
    lua_pop(L, 1);
    return;
  }
  int given = lua_gettop(L), merged = given + 1;
  lua_createtable(L, MP_SQL_TYPES, 0);
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  lua_getiuservalue(L, -1, POOL_TYPES);
  for (int type = 0; lua_istable(L, -1) && type < MP_SQL_TYPES; type++) {
    lua_rawgeti(L, -1, type);
    lua_rawseti(L, merged, type);
  }
  lua_pop(L, 2);
  set_converters(L, given, merged);
  lua_replace(L, index);
  lua_pop(L, 1);
  form->converting = true;
}

void query_take_form(lua_State *L, connection *conn, const result_form *form) {
  bool had_types = conn->result.form.own_types;
  conn->result.form = *form;
  if (!form->own_types && !had_types)
    return;
  if (form->own_types)
    lua_pushvalue(L, QUERY_OPTIONS);
  else
    lua_pushnil(L);
  lua_setiuservalue(L, 1, CONNECTION_TYPES);
}

static void read_given(lua_State *L, int index, mp_query_options *options, result_form *form) {
  options->timeout_ns = (int64_t)(number_option(L, index, "timeout", 0) * MP_SECOND);
  options->idempotent = flag_option(L, index, "idempotent", options->idempotent);
  form->array_rows = rows_option(L, index, form->array_rows);
  form->max_bytes = (uint64_t)number_option(L, index, "max_result_bytes", (lua_Number)form->max_bytes);
  if (is_raw(L, index)) {
    form->converting = false;
    form->own = true;
    form->max_bytes = 0;
    return;
  }
  read_types(L, index, form);
}

/* The text of the statement only reads, in a pool for that. */
static bool is_read(lua_State *L, int sql, const connection *conn) {
  if (!conn->pool->reading || sql == 0)
    return false;
  size_t length;
  const char *text = lua_tolstring(L, sql, &length);
  return mp_sql_is_read_only(text, length, mp_loan_sql_mode(conn->loan).reading);
}

/* Per-call options; the Lua side has looked at their names and types. A metamethod of theirs may do anything,
   so nothing that was known before still counts, not even that the connection is held. */
void read_options(lua_State *L, int index, int sql, const connection *conn, const char *function,
                  mp_query_options *options, result_form *form) {
  const pool_data *pool = conn->pool;
  *options = (mp_query_options){.idempotent = is_read(L, sql, conn)};
  form->array_rows = pool->array_rows;
  form->converting = pool->converting;
  form->max_bytes = pool->max_result_bytes;
  form->own = form->own_types = false;
  if (!lua_istable(L, index))
    return;
  read_given(L, index, options, form);
  check_held(L, function);
}

const char *query_function(shape what) {
  static const char *const names[] = {"query", "one", "value", "rows"};
  return names[what];
}

/* Without a parameter and without a question mark the text goes out as it is. */
static const char *plain_text(lua_State *L, connection *conn, size_t *length) {
  const char *sql = lua_tolstring(L, 4, length);
  scrub_begin(conn);
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, 1, CONNECTION_SQL);
  return lua_gettop(L) > 4 || memchr(sql, '?', *length) ? NULL : sql;
}

static mp_status send_encoded(connection *conn, mp_query_options options, const mp_sql_mode *mode,
                              mp_wait *wait, mp_error *err) {
  options.mode = mode;
  return mp_loan_query(conn->loan, conn->statement.text.data, conn->statement.text.length, &options, wait,
                       err);
}

/* Keeps text and parameters until the session has answered. To make a table may run finalizers, which may use
   this connection: nothing has begun yet, and nothing that was known before still counts. */
static mp_status keep_statement(lua_State *L, connection *conn, const char *function, mp_error *err) {
  int last = lua_gettop(L);
  lua_createtable(L, last - 3, 0);
  check_held(L, function);
  if (stream_is_open(conn))
    return fail_streaming(err);
  for (int i = 4; i <= last; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, last + 1, i - 3);
  }
  lua_setiuservalue(L, 1, CONNECTION_KEPT);
  conn->statement.kept = last - 3;
  return MP_DONE;
}

static mp_status ask_first(lua_State *L, connection *conn, const mp_query_options *options,
                           const result_form *form, mp_wait *wait, mp_error *err) {
  if (keep_statement(L, conn, query_function(form->shape), err) != MP_DONE)
    return MP_FAILED;
  query_take_form(L, conn, form);
  conn->statement.options = *options;
  conn->statement.options.asked = true;
  conn->statement.prepared = 0;
  call_begin(L, conn, ASKING);
  return mp_loan_ask(conn->loan, options, wait, err);
}

/* Pushes the text and the parameters that were kept, behind the table of them. */
static void restore_statement(lua_State *L, const connection *conn) {
  lua_getiuservalue(L, 1, CONNECTION_KEPT);
  int kept = lua_gettop(L);
  luaL_checkstack(L, conn->statement.kept, "too many parameters");
  for (int i = 1; i <= conn->statement.kept; i++)
    lua_rawgeti(L, kept, i);
}

/* The session has told how it reads SQL text: sends the statement. May raise as a query does, with the
   connection at rest. */
mp_status query_after_asking(lua_State *L, connection *conn, mp_wait *wait, mp_error *err) {
  int top = lua_gettop(L);
  mp_sql_mode mode = mp_loan_sql_mode(conn->loan);
  conn->activity = IDLE;
  conn->call.in_hand = false;
  call_release_pending(L, conn); /* another coroutine may have released it meanwhile */
  check_held(L, query_function(conn->result.form.shape));
  restore_statement(L, conn);
  encode_statement(L, conn, top + 2, top + 3, lua_gettop(L), &mode);
  lua_settop(L, top);
  conn->call.in_hand = true;
  conn->activity = QUERYING;
  statement_sent(L, conn);
  return send_encoded(conn, conn->statement.options, &mode, wait, err);
}

mp_status query_send(lua_State *L, connection *conn, const mp_query_options *options, const result_form *form,
                     mp_wait *wait, mp_error *err) {
  size_t length;
  const char *sql = plain_text(L, conn, &length);
  if (sql) {
    query_take_form(L, conn, form);
    call_begin(L, conn, QUERYING);
    statement_sent(L, conn);
    return mp_loan_query(conn->loan, sql, length, options, wait, err);
  }
  mp_sql_mode mode = mp_loan_sql_mode(conn->loan);
  if (!encode_statement(L, conn, 4, 5, lua_gettop(L), &mode))
    return ask_first(L, conn, options, form, wait, err);
  query_take_form(L, conn, form);
  call_begin(L, conn, QUERYING);
  statement_sent(L, conn);
  return send_encoded(conn, *options, &mode, wait, err);
}
