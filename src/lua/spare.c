/* A handle leaves to the next one of its pool its buffers and the names of its columns, which most loans
   would else make anew for the statement that all of them run (a fifth of such a loan's instructions). The
   handle itself keeps nothing of it. */
#include "spare.h"

#include "scrub.h"

/* A larger buffer was for a statement that is not like others: it is not left. */
enum { LARGEST = 4096 };

static void list(connection *conn, mp_buffer *of[SPARE_BUFFERS]) {
  of[0] = &conn->statement.text;
  of[1] = &conn->statement.literals;
  of[2] = &conn->statement.values;
  of[3] = &conn->result.described;
  of[4] = &conn->result.described_before;
}

/* Moves the bytes to an empty buffer. */
static void move(mp_buffer *from, mp_buffer *to) {
  if (!from->data)
    return;
  *to = *from;
  *from = (mp_buffer){0};
}

/* The names belong to what described_before holds, and are in a table of the pool's, by the numbers of the
   spares. Without them the table is left as it is: it costs as much as a buffer. */
static void take_names(lua_State *L, const connection *conn, int number) {
  if (conn->result.described_before.length == 0)
    return;
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  lua_getiuservalue(L, -1, POOL_SPARES);
  lua_rawgeti(L, -1, number);
  lua_setiuservalue(L, 1, CONNECTION_NAMES);
  lua_pop(L, 2);
}

static void leave_names(lua_State *L, const connection *conn, int number) {
  if (conn->result.described_before.length == 0)
    return;
  lua_getiuservalue(L, 1, CONNECTION_POOL);
  lua_getiuservalue(L, -1, POOL_SPARES);
  lua_getiuservalue(L, 1, CONNECTION_NAMES);
  lua_rawseti(L, -2, number);
  lua_pop(L, 2);
}

void spare_open(lua_State *L, int index) {
  index = lua_absindex(L, index);
  lua_createtable(L, MOST_SPARES, 0);
  lua_setiuservalue(L, index, POOL_SPARES);
}

void spare_take(lua_State *L, connection *conn) {
  pool_data *pool = conn->pool;
  mp_buffer *own[SPARE_BUFFERS];
  if (conn->equipped)
    return;
  conn->equipped = true;
  if (pool->spare_count == 0)
    return;
  spare *from = &pool->spares[--pool->spare_count];
  list(conn, own);
  for (int i = 0; i < SPARE_BUFFERS; i++)
    move(&from->buffers[i], own[i]);
  take_names(L, conn, pool->spare_count + 1);
}

static void drop_large(mp_buffer *buffer) {
  if (buffer->failed || buffer->capacity > LARGEST)
    mp_buffer_free(buffer);
}

static bool is_wanted(lua_State *L, const connection *conn) {
  const pool_data *pool = conn->pool;
  return pool->pool && pool->spare_count < MOST_SPARES && lua_touserdata(L, 1) == conn;
}

void spare_leave(lua_State *L, connection *conn) {
  pool_data *pool = conn->pool;
  mp_buffer *own[SPARE_BUFFERS];
  if (!conn->equipped)
    return;
  list(conn, own);
  if (!is_wanted(L, conn)) {
    for (int i = 0; i < SPARE_BUFFERS; i++)
      mp_buffer_free(own[i]);
    return;
  }
  scrub_begin(conn);
  for (int i = 0; i < SPARE_BUFFERS; i++)
    drop_large(own[i]);
  leave_names(L, conn, pool->spare_count + 1);
  for (int i = 0; i < SPARE_BUFFERS; i++)
    move(own[i], &pool->spares[pool->spare_count].buffers[i]);
  pool->spare_count++;
}

void spare_free(pool_data *pool) {
  while (pool->spare_count > 0) {
    spare *last = &pool->spares[--pool->spare_count];
    for (int i = 0; i < SPARE_BUFFERS; i++)
      mp_buffer_free(&last->buffers[i]);
  }
}
