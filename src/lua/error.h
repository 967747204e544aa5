#ifndef MYPOOL_LUA_ERROR_H
#define MYPOOL_LUA_ERROR_H

#include "binding.h"

/* Pushes what a failed call returns: nil, error, errno, sqlstate; in LuaJIT nil and the error. Returns their
   number. The string at the index `sql` is the statement, as the program gave it; what is no string, or the
   index 0: there is none. */
int push_failure(lua_State *L, const mp_error *err, int sql);

/* Pushes the beginning of the statement at this index, as errors have it. */
void push_sql(lua_State *L, int index);

/* The same as push_failure, for the last statement of the connection at index 1. */
int push_failed_statement(lua_State *L, const mp_error *err);

/* The length of the beginning of a text that is of `longest` bytes at most, and ends between two characters.
 */
size_t text_cut(const char *text, size_t length, size_t longest);

void error_open(lua_State *L);

#endif
