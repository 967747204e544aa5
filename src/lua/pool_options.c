/* The options of a new pool. They come from the Lua side, which has checked them; what a program hands
   in past it is checked again as far as safety needs. None stays on the stack: an array of them may be of any
   length. */
#include "pool_options.h"

#include <time.h>

#include "class.h"
#include "place.h"

enum { OPTIONS = 1, NEW_POOL, KEPT_STRINGS };

/* The string on top of the stack, which is taken; it lives as long as the table of kept strings, whatever
   becomes of the options. */
static const char *take_string(lua_State *L) {
  const char *text = lua_isnil(L, -1) ? NULL : luaL_checkstring(L, -1);
  keep_string(L, KEPT_STRINGS);
  return text;
}

static const char *string_option(lua_State *L, const char *name) {
  lua_getfield(L, OPTIONS, name);
  return take_string(L);
}

static int64_t seconds_option(lua_State *L, const char *name, int64_t absent_ns) {
  lua_getfield(L, OPTIONS, name);
  int64_t duration_ns = check_seconds(L, lua_gettop(L), "new", name, absent_ns);
  lua_pop(L, 1);
  return duration_ns;
}

static unsigned count_option(lua_State *L, const char *name, lua_Integer least) {
  lua_getfield(L, OPTIONS, name);
  lua_Integer count = luaL_checkinteger(L, -1);
  luaL_argcheck(L, count >= least && count <= 100000, OPTIONS, name);
  lua_pop(L, 1);
  return (unsigned)count;
}

static bool flag_option(lua_State *L, const char *name, bool absent) {
  lua_getfield(L, OPTIONS, name);
  bool flag = lua_isnil(L, -1) ? absent : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

/* A size in bytes; 0: none is given. */
static uint64_t size_option(lua_State *L, const char *name) {
  lua_getfield(L, OPTIONS, name);
  uint64_t bytes = (uint64_t)lua_tonumber(L, -1);
  lua_pop(L, 1);
  return bytes;
}

static bool is_word(lua_State *L, const char *name, const char *word) {
  const char *text = string_option(L, name);
  return text && strcmp(text, word) == 0;
}

static mp_need need_option(lua_State *L) {
  if (is_word(L, "need", "read"))
    return MP_NEED_READ;
  return is_word(L, "need", "write") ? MP_NEED_WRITE : MP_NEED_NOTHING;
}

/* Leaves a userdata on the stack that holds the array, as long as it is there. */
static void read_init_sql(lua_State *L, mp_server *server) {
  lua_getfield(L, OPTIONS, "init_sql");
  if (lua_isnil(L, -1))
    return;
  luaL_checktype(L, -1, LUA_TTABLE);
  size_t count = lua_rawlen(L, -1);
  const char **statements = lua_newuserdatauv(L, (count + 1) * sizeof *statements, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -2, (int)i + 1);
    luaL_checkstring(L, -1);
    statements[i] = take_string(L);
  }
  server->init_sql = statements;
  server->init_sql_count = count;
}

/* The option verify is a boolean, or "ca". */
static mp_trust trust_option(lua_State *L) {
  lua_getfield(L, OPTIONS, "tls_verify");
  bool is_word = lua_type(L, -1) == LUA_TSTRING, no = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is_word ? MP_TRUST_AUTHORITY : no ? MP_TRUST_ANYBODY : MP_TRUST_NAME;
}

/* libmariadb might compare no more than the digits that there are. */
static void read_fingerprint(lua_State *L, mp_server *server) {
  server->tls_fingerprint = string_option(L, "tls_fingerprint");
  if (!server->tls_fingerprint)
    return;
  luaL_argcheck(L, strlen(server->tls_fingerprint) == mp_mariadb_fingerprint_digits(), OPTIONS,
                "fingerprint");
  server->tls_trust = MP_TRUST_CERTIFICATE;
}

/* libmariadb verifies the authority wherever it is told one. */
static void read_tls(lua_State *L, mp_server *server) {
  server->tls = flag_option(L, "tls", false);
  server->tls_trust = trust_option(L);
  read_fingerprint(L, server);
  server->tls_cleartext = flag_option(L, "tls_cleartext_password", false);
  if (server->tls_trust != MP_TRUST_ANYBODY)
    server->tls_ca = string_option(L, "tls_ca");
  server->tls_cert = string_option(L, "tls_cert");
  server->tls_key = string_option(L, "tls_key");
  server->public_key = string_option(L, "server_public_key");
}

static void check_port(lua_State *L, const mp_address *address) {
  luaL_argcheck(L, address->port >= 1 && address->port <= 65535, OPTIONS, "port");
}

/* One of hosts = {{ host = "db1", port = 3306 }, …}, on top of the stack. */
static mp_address read_host(lua_State *L) {
  luaL_checktype(L, -1, LUA_TTABLE);
  mp_address address = {0};
  lua_getfield(L, -1, "port");
  address.port = (unsigned)luaL_checkinteger(L, -1);
  check_port(L, &address);
  lua_pop(L, 1);
  lua_getfield(L, -1, "host");
  luaL_checkstring(L, -1);
  address.host = take_string(L);
  return address;
}

/* Leaves a userdata on the stack that holds the addresses, as long as it is there. */
static void read_addresses(lua_State *L, mp_server *server) {
  lua_getfield(L, OPTIONS, "hosts");
  size_t count = lua_istable(L, -1) ? lua_rawlen(L, -1) : 1;
  luaL_argcheck(L, count >= 1 && count <= 32, OPTIONS, "hosts");
  mp_address *addresses = lua_newuserdatauv(L, count * sizeof *addresses, 0);
  lua_insert(L, -2);
  for (size_t i = 0; i < count && lua_istable(L, -1); i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    addresses[i] = read_host(L);
    lua_pop(L, 1);
  }
  if (!lua_istable(L, -1)) {
    addresses[0] = (mp_address){.host = string_option(L, "host"),
                                .port = count_option(L, "port", 1),
                                .socket = string_option(L, "socket")};
    luaL_argcheck(L, addresses->host || addresses->socket, OPTIONS, "host");
    check_port(L, addresses);
  }
  lua_pop(L, 1);
  server->addresses = addresses;
  server->address_count = count;
}

static void read_server(lua_State *L, mp_server *server) {
  read_addresses(L, server);
  server->user = string_option(L, "user");
  server->database = string_option(L, "database");
  server->charset = string_option(L, "charset");
  server->collation = string_option(L, "collation");
  server->application = string_option(L, "application_name");
  server->found_rows = flag_option(L, "found_rows", false);
  server->autocommit_off = !flag_option(L, "autocommit", true);
  server->need = need_option(L);
  server->connect_timeout_ns = seconds_option(L, "connect_timeout", 5 * MP_SECOND);
  luaL_argcheck(L, server->charset, OPTIONS, "charset");
  read_tls(L, server);
  read_init_sql(L, server);
}

static void read_max_waiting(lua_State *L, mp_pool_config *config) {
  lua_getfield(L, OPTIONS, "max_waiting");
  config->bounded_queue = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (config->bounded_queue)
    config->max_waiting = count_option(L, "max_waiting", 0);
}

static uint64_t seed(const void *address) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)(uintptr_t)address;
}

static void read_config(lua_State *L, mp_pool_config *config) {
  config->max_size = count_option(L, "max_size", 1);
  config->min_idle = count_option(L, "min_idle", 0);
  read_max_waiting(L, config);
  config->retries = count_option(L, "retries", 0);
  config->reset = !is_word(L, "reset", "never");
  config->reset_together = flag_option(L, "reset_together", true);
  config->idle_timeout_ns = seconds_option(L, "idle_timeout", MP_NEVER);
  config->max_lifetime_ns = seconds_option(L, "max_lifetime", MP_NEVER);
  config->query_timeout_ns = seconds_option(L, "query_timeout", MP_NEVER);
  config->leak_after_ns = seconds_option(L, "leak_after", MP_NEVER);
  config->seed = seed(config);
  const char *name = string_option(L, "name");
  snprintf(config->name, sizeof config->name, "%s", name ? name : "");
}

static void keep(lua_State *L, const char *option, int value) {
  lua_getfield(L, OPTIONS, option);
  lua_setiuservalue(L, NEW_POOL, value);
}

static void keep_values(lua_State *L, pool_data *pool) {
  keep(L, "wait", POOL_WAIT);
  keep(L, "park", POOL_PARK);
  keep(L, "null", POOL_NULL);
  keep(L, "overdue", POOL_OVERDUE);
  keep(L, "types", POOL_TYPES);
  keep(L, "left_open", POOL_LEFT_OPEN);
  keep(L, "statement", POOL_STATEMENT);
  lua_getfield(L, OPTIONS, "password");
  pool->password = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, OPTIONS, "forget");
  pool->forget = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_getfield(L, OPTIONS, "unpark");
  pool->unpark = luaL_ref(L, LUA_REGISTRYINDEX);
}

void pool_options_read(lua_State *L, pool_data *pool, mp_server *server, mp_pool_config *config) {
  keep_values(L, pool);
  lua_newtable(L); /* KEPT_STRINGS */
  read_server(L, server);
  read_config(L, config);
  config->hosts = (unsigned)server->address_count;
  config->need = server->need;
  config->silence_ns = seconds_option(L, "silence", 0);
  config->balance = is_word(L, "balance", "spread") ? MP_BALANCE_SPREAD : MP_BALANCE_FIRST;
  config->hooked = flag_option(L, "on_connect", false);
  server->threads = config->may_queue = flag_option(L, "scheduler", false);
  config->reset_timeout_ns = server->connect_timeout_ns;
  pool->raising = is_word(L, "errors", "raise");
  pool->show_values = flag_option(L, "show_values", false);
  pool->array_rows = is_word(L, "rows", "array");
  pool->keeps_state = !config->reset;
  pool->reading = flag_option(L, "reading", false);
  pool->autocommit_off = server->autocommit_off;
  pool->converting = flag_option(L, "types", false);
  pool->retries = (int)config->retries;
  pool->max_result_bytes = size_option(L, "max_result_bytes");
  pool->tell_after_ns = seconds_option(L, "tell_after", MP_NEVER);
  pool->checkout_timeout_ns = seconds_option(L, "checkout_timeout", 5 * MP_SECOND);
}
