/* Tells the Lua side of the transaction that a connection is in. Nothing here talks to the server. */
#include "transactions.h"

#include "class.h"
#include "error.h"
#include "place.h"
#include "pool.h"

/* Nothing is raised here for a connection that is none, or none any more: its methods raise that by
   themselves. */
static connection *of_loan(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  return conn && conn->loan ? conn : NULL;
}

/* true, or nil, error, errno, sqlstate */
static int answer(lua_State *L, mp_status status, const mp_error *err) {
  if (status != MP_DONE)
    return push_failure(L, err, 0);
  lua_pushboolean(L, 1);
  return 1;
}

/* watch(connection): the number of the transaction that it is in, which only a helper is to end from now
   on. */
static int core_watch(lua_State *L) {
  connection *conn = of_loan(L);
  lua_pushinteger(L, conn ? (lua_Integer)mp_loan_watch(conn->loan) : 0);
  return 1;
}

/* watches(connection, number): true while that transaction is the session's own; else nil and an error. */
static int core_watches(lua_State *L) {
  connection *conn = of_loan(L);
  uint64_t number = (uint64_t)luaL_checkinteger(L, 2);
  mp_error err = {0};
  return answer(L, conn ? mp_loan_check_watched(conn->loan, number, &err) : MP_DONE, &err);
}

/* unwatch(connection): true, or nil and an error when the transaction had ended before. */
static int core_unwatch(lua_State *L) {
  connection *conn = of_loan(L);
  mp_error err = {0};
  return answer(L, conn ? mp_loan_unwatch(conn->loan, &err) : MP_DONE, &err);
}

/* spoil(connection): from now on only ROLLBACK is accepted. */
static int core_spoil(lua_State *L) {
  connection *conn = of_loan(L);
  if (conn)
    mp_loan_spoil(conn->loan);
  return 0;
}

/* retiring(connection): whether its server was found to be one that may not write. */
static int core_retiring(lua_State *L) {
  connection *conn = of_loan(L);
  lua_pushboolean(L, conn && mp_loan_is_retiring(conn->loan));
  return 1;
}

/* may_run_again(errno or nil, elsewhere): whether the transaction that failed with it may be run anew. */
static int core_may_run_again(lua_State *L) {
  unsigned code = (unsigned)luaL_optinteger(L, 1, 0);
  lua_pushboolean(L, mp_transaction_may_run_again(code, lua_toboolean(L, 2)));
  return 1;
}

/* retries(pool or connection): the option. */
static int core_retries(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  pool_data *pool = conn ? conn->pool : check_pool(L, 1, "transaction");
  lua_pushinteger(L, pool->retries);
  return 1;
}

/* rerun(pool or connection): the function `transaction` is about to call its function again. Returns the
   pool, and where `transaction` was called. */
static int core_rerun(lua_State *L) {
  connection *conn = test_class(L, 1, CONNECTION_CLASS);
  pool_data *pool = conn ? conn->pool : check_pool(L, 1, "transaction");
  pool->transactions_rerun++;
  if (conn)
    lua_getiuservalue(L, 1, CONNECTION_POOL);
  else
    lua_pushvalue(L, 1);
  lua_pushstring(L, place_of_caller(L).text);
  return 2;
}

static const luaL_Reg functions[] = {
    {"watch", core_watch},     {"watches", core_watches},   {"unwatch", core_unwatch},
    {"spoil", core_spoil},     {"retiring", core_retiring}, {"may_run_again", core_may_run_again},
    {"retries", core_retries}, {"rerun", core_rerun},       {NULL, NULL},
};

void transactions_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
