#ifndef MYPOOL_LUA_STREAM_H
#define MYPOOL_LUA_STREAM_H

#include "binding.h"

static inline bool stream_is_open(const connection *conn) {
  return conn->stream.open;
}

static inline void stream_begin(connection *conn) {
  conn->stream = (struct stream){.open = true};
}

static inline void stream_end(connection *conn) {
  conn->stream.open = false;
}

/* Goes on with fetch or drain, what has just been read being of this status. Returns what they return: nil
   and an array of rows; nil alone at the end. */
int stream_after(lua_State *L, connection *conn, mp_status status, mp_wait *wait, mp_error *err);

/* While a stream is open its connection can do nothing else: fails with that, or returns what an operation
   returns that has failed so, whose statement stands at this index; 0: it has none. */
mp_status fail_streaming(mp_error *err);
int busy_streaming(lua_State *L, int sql);

void stream_open(lua_State *L);

#endif
