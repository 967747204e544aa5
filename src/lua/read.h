#ifndef MYPOOL_LUA_READ_H
#define MYPOOL_LUA_READ_H

#include "binding.h"

/* When a result is not wanted any more, so much is read for the sake of the session; then it is
   given up. */
enum { WORTH_DRAINING = 64 * 1024 };

/* Takes a query through its rows and further results, from where it is: it has just been answered, a row has
   been fetched, or a further result sought. On the stack are the results so far; in the end all of them. */
mp_status results_read(lua_State *L, int self, connection *conn, mp_wait *wait, mp_error *err);

/* Across a wait: the results so far, which stand on the stack from `first` on. */
void results_keep(lua_State *L, int self, int first);
void results_restore(lua_State *L, int self, connection *conn);

/* Ends a statement whose results were read and are not returned. Returns what its call returns, or raises
   what a converter raised. */
int reject_result(lua_State *L, connection *conn, mp_error *err);

#endif
