/* The statements of the program: what it sends itself, and the transactions that mypool begins and ends for
 * it. */
#include "statement.h"

#include "class.h"

void statement_sent(connection *conn) {
  if (!conn->result.form.own && !conn->statement.is_many)
    conn->pool->statements++;
}

/* begin_many(connection): until end_many all that is sent is one statement. */
static int core_begin_many(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  conn->pool->statements++;
  conn->statement.is_many = true;
  return 0;
}

static int core_end_many(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  conn->statement.is_many = false;
  return 0;
}

static const luaL_Reg functions[] = {
    {"begin_many", core_begin_many},
    {"end_many", core_end_many},
    {NULL, NULL},
};

void statement_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
