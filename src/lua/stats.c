/* What a pool has counted, and who has its connections now. */
#include "stats.h"

#include "hosts.h"
#include "left_open.h"
#include "pool.h"
#include "statement.h"

typedef enum number_kind { IS_NOW, IS_COUNT, IS_TIME } number_kind;

static const struct {
  const char *name;
  size_t offset;
  number_kind kind;
} of_pool[] = {
    {"size", offsetof(mp_stats, size), IS_NOW},
    {"max_size", offsetof(mp_stats, max_size), IS_NOW},
    {"idle", offsetof(mp_stats, idle), IS_NOW},
    {"lent", offsetof(mp_stats, lent), IS_NOW},
    {"opening", offsetof(mp_stats, opening), IS_NOW},
    {"recovering", offsetof(mp_stats, recovering), IS_NOW},
    {"waiting", offsetof(mp_stats, waiting), IS_NOW},
    {"checkouts", offsetof(mp_stats, checkouts), IS_COUNT},
    {"opened", offsetof(mp_stats, opened), IS_COUNT},
    {"closed", offsetof(mp_stats, closed), IS_COUNT},
    {"connect_failures", offsetof(mp_stats, connect_failures), IS_COUNT},
    {"stale", offsetof(mp_stats, stale), IS_COUNT},
    {"expired", offsetof(mp_stats, expired), IS_COUNT},
    {"retired", offsetof(mp_stats, retired), IS_COUNT},
    {"discarded", offsetof(mp_stats, discarded), IS_COUNT},
    {"retries", offsetof(mp_stats, retries), IS_COUNT},
    {"timeouts", offsetof(mp_stats, timeouts), IS_COUNT},
    {"refused", offsetof(mp_stats, refused), IS_COUNT},
    {"resets_sent", offsetof(mp_stats, resets_sent), IS_COUNT},
    {"resets_together", offsetof(mp_stats, resets_together), IS_COUNT},
    {"resets_hidden", offsetof(mp_stats, resets_hidden), IS_COUNT},
    {"resets_waited", offsetof(mp_stats, resets_waited), IS_COUNT},
    {"resets_failed", offsetof(mp_stats, resets_failed), IS_COUNT},
    {"waits", offsetof(mp_stats, waits), IS_COUNT},
    {"reset_wait", offsetof(mp_stats, reset_wait_ns), IS_TIME},
    {"wait_time", offsetof(mp_stats, wait_ns), IS_TIME},
    {"lent_time", offsetof(mp_stats, lent_ns), IS_TIME},
    {"connect_time", offsetof(mp_stats, connect_ns), IS_TIME},
};

/* What is counted on this side of the pool. */
static const struct {
  const char *name;
  size_t offset;
} of_binding[] = {
    {"forgotten", offsetof(pool_data, forgotten)},
    {"abandoned", offsetof(pool_data, abandoned)},
    {"left_open", offsetof(pool_data, left_open)},
    {"statements", offsetof(pool_data, statements)},
    {"transactions_rerun", offsetof(pool_data, transactions_rerun)},
};

static void push_number(lua_State *L, const void *at, number_kind kind) {
  if (kind == IS_TIME)
    lua_pushnumber(L, (double)*(const int64_t *)at / MP_SECOND);
  else if (kind == IS_COUNT)
    lua_pushinteger(L, (lua_Integer) * (const uint64_t *)at);
  else
    lua_pushinteger(L, *(const unsigned *)at);
}

static void push_stats(lua_State *L, const pool_data *pool) {
  mp_stats stats;
  mp_pool_stats(pool->pool, &stats);
  lua_createtable(L, 0, 34);
  for (size_t i = 0; i < sizeof of_pool / sizeof *of_pool; i++) {
    push_number(L, (const char *)&stats + of_pool[i].offset, of_pool[i].kind);
    lua_setfield(L, -2, of_pool[i].name);
  }
  for (size_t i = 0; i < sizeof of_binding / sizeof *of_binding; i++) {
    lua_pushinteger(L, *(const lua_Integer *)(const void *)((const char *)pool + of_binding[i].offset));
    lua_setfield(L, -2, of_binding[i].name);
  }
  push_hosts(L, pool->pool);
  lua_setfield(L, -2, "hosts");
}

/* stats(pool): a table of numbers; what each means stands in the documentation. */
static int core_stats(lua_State *L) {
  pool_data *pool = check_pool(L, 1, "stats");
  mp_holder overdue;
  while (mp_pool_next_overdue(pool->pool, &overdue))
    report_overdue(L, 1, &overdue);
  if (pool->untold)
    left_open_report(L, 1), statement_report(L, 1);
  push_stats(L, pool);
  return 1;
}

/* ---- who has connections, and who waits for one ---- */

/* Copied, as any table that is made may run finalizers, which end loans. */
typedef struct place_taken {
  code_place place;
  int64_t age_ns;
} place_taken;

static void copy(place_taken *to, const mp_holder *from) {
  snprintf(to->place.text, sizeof to->place.text, "%s", from->label);
  to->age_ns = from->age_ns;
}

static int copy_holders(const mp_pool *pool, unsigned slots, place_taken *places, int most) {
  mp_holder holder;
  int count = 0;
  for (unsigned i = 0; i < slots && count < most; i++)
    if (mp_pool_holder(pool, i, &holder))
      copy(&places[count++], &holder);
  return count;
}

static int copy_line(const mp_pool *pool, place_taken *places, int most) {
  mp_holder waiter;
  int count = 0;
  const mp_loan *loan = NULL;
  while (count < most && (loan = mp_pool_next_in_line(pool, loan, &waiter)))
    copy(&places[count++], &waiter);
  return count;
}

/* Pushes an array of { place, seconds }. */
static void push_places(lua_State *L, const place_taken *places, int count) {
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_createtable(L, 2, 0);
    lua_pushstring(L, places[i].place.text);
    lua_rawseti(L, -2, 1);
    lua_pushnumber(L, (double)places[i].age_ns / MP_SECOND);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, i + 1);
  }
}

/* places(pool): two arrays of { place, seconds }, of the loans that are out and of those that stand in line;
   the pool's name. */
static int core_places(lua_State *L) {
  mp_pool *pool = check_pool(L, 1, "describe")->pool;
  mp_stats stats;
  mp_pool_stats(pool, &stats);
  int lent = (int)stats.lent, waiting = (int)stats.waiting;
  place_taken *places = lua_newuserdatauv(L, (size_t)(lent + waiting + 1) * sizeof *places, 0);
  lent = copy_holders(pool, stats.max_size, places, lent);
  waiting = copy_line(pool, places + lent, waiting);
  push_places(L, places, lent);
  push_places(L, places + lent, waiting);
  lua_pushstring(L, mp_pool_name(pool));
  return 3;
}

static const luaL_Reg functions[] = {
    {"stats", core_stats},
    {"places", core_places},
    {NULL, NULL},
};

void stats_open(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
