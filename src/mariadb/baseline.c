/* Asks a new session what its state is, so that a reset can lead back to it. */
#include "baseline.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocking.h"
#include "charset.h"
#include "flight.h"
#include "mode.h"
#include "version.h"

/* The columns of the question: first the state that init SQL may change, which is asked for once more when
   that has run; then facts that hold as long as the session. */
#define STATE                                                                                                \
  "SELECT @@sql_mode, @@autocommit, @@character_set_client, @@wait_timeout, @@character_set_connection, "
#define SERVER ", @@init_connect, @@max_allowed_packet, @@collation_connection, CONNECTION_ID(), "

/* MySQL counts roles elsewhere, so there the role is restored whenever the server knows the word. */
#define ROLES_COUNTED "CURRENT_ROLE(), (SELECT COUNT(*) FROM information_schema.APPLICABLE_ROLES), "
#define ROLES_KNOWN "CURRENT_ROLE(), 1, "
#define NO_ROLES "NULL, 0, "

/* A server without InnoDB has none of its variables. */
#define ROLLBACK_VARIABLE "@@innodb_rollback_on_timeout, "
#define ROLLBACK_LISTED                                                                                      \
  "(SELECT VARIABLE_VALUE = 'ON' FROM information_schema.GLOBAL_VARIABLES "                                  \
  "WHERE VARIABLE_NAME = 'INNODB_ROLLBACK_ON_TIMEOUT'), "

/* The part of a UUID behind the time: a server draws a part of it at its start, so it tells apart two servers
   that have all else in common, and one server from what it was before a restart. The name of the server came
   late to MariaDB. */
#define UNNAMED "CONCAT_WS(' ', @@hostname, @@port, @@server_id, SUBSTR(UUID(), 20)"
#define IDENTITY_OF_MARIADB UNNAMED ", @@server_uid)"
#define IDENTITY_OF_MYSQL UNNAMED ", @@server_uuid)"
#define IDENTITY_OF_OLD UNNAMED ")"

/* Where the server is a node of a Galera cluster: one more than @@wsrep_sync_wait. */
#define SYNC_WAIT ", IF(@@wsrep_on, 1 + @@wsrep_sync_wait, 0)"
#define SYNC_WAIT_LISTED                                                                                     \
  ", (SELECT 1 + w.VARIABLE_VALUE FROM information_schema.SESSION_VARIABLES w "                              \
  "JOIN information_schema.SESSION_VARIABLES o WHERE w.VARIABLE_NAME = 'WSREP_SYNC_WAIT' "                   \
  "AND o.VARIABLE_NAME = 'WSREP_ON' AND o.VARIABLE_VALUE = 'ON')"

enum {
  SQL_MODE,
  AUTOCOMMIT,
  CHARSET,
  WAIT_TIMEOUT,
  CONNECTION_CHARSET,
  READ_ONLY,
  INIT_CONNECT,
  MAX_PACKET,
  COLLATION,
  CONNECTION,
  ROLE,
  ROLES,
  ROLLBACK,
  IDENTITY_OF_SERVER,
  SYNC /* MariaDB's alone */
};

/* The text of a question to a session; `old`: its server does not know a variable. */
typedef const char *question(const mp_session *session, bool old);

static const char *identity(const mp_session *session, bool old) {
  if (old)
    return "SELECT " IDENTITY_OF_OLD;
  return session->base.is_mariadb ? "SELECT " IDENTITY_OF_MARIADB : "SELECT " IDENTITY_OF_MYSQL;
}

/* One statement, as it costs every connect a round trip, and one text, as putting it together would cost
   every connect more than to read the answer. */
static const char *everything(const mp_session *session, bool old) {
#define IN_NEED(text)                                                                                        \
  { text, text ", " MP_FLIGHT_SERVER_READ_ONLY }
  static const char *const texts[3][2][2] = {
      {IN_NEED(STATE "@@tx_read_only" SERVER ROLES_COUNTED ROLLBACK_VARIABLE IDENTITY_OF_MARIADB SYNC_WAIT),
       IN_NEED(STATE "@@tx_read_only" SERVER ROLES_COUNTED ROLLBACK_LISTED IDENTITY_OF_OLD SYNC_WAIT_LISTED)},
      {IN_NEED(STATE "@@transaction_read_only" SERVER ROLES_KNOWN ROLLBACK_VARIABLE IDENTITY_OF_MYSQL),
       IN_NEED(STATE "@@transaction_read_only" SERVER ROLES_KNOWN ROLLBACK_LISTED IDENTITY_OF_OLD)},
      {IN_NEED(STATE "@@tx_read_only" SERVER NO_ROLES ROLLBACK_VARIABLE IDENTITY_OF_MYSQL),
       IN_NEED(STATE "@@tx_read_only" SERVER NO_ROLES ROLLBACK_LISTED IDENTITY_OF_OLD)},
  };
#undef IN_NEED
  bool needy = session->driver->server.need != MP_NEED_NOTHING;
  unsigned kind = session->base.is_mariadb ? 0 : mp_server_version(session->mysql) >= 80000 ? 1 : 2;
  return texts[kind][old][needy];
}

static char *copy(const char *text) {
  return strdup(text ? text : "");
}

static bool is_on(const char *cell) {
  return cell && strtoul(cell, NULL, 10) > 0;
}

static bool is_word(const char *text, const char *word) {
  return strlen(text) == strlen(word) && mp_sql_is_word(text, word, strlen(word));
}

/* utf8 is another name of utf8mb3, or, with some old_mode, of utf8mb4. */
static bool is_charset(const char *asked, const char *given) {
  if (is_word(asked, given))
    return true;
  if (is_word(asked, "utf8"))
    return strlen(given) >= 4 && mp_sql_is_word(given, "utf8", 4);
  return is_word(asked, "utf8mb3") && is_word(given, "utf8");
}

/* A proxy, or what only looks like a server, may answer anything. */
static bool is_complete(const mp_session *session, unsigned last) {
  char **cells = session->row;
  return mysql_field_count(session->mysql) > last && cells[SQL_MODE] && cells[CHARSET] &&
         cells[CONNECTION_CHARSET] && cells[WAIT_TIMEOUT] &&
         (last < ROLES || (cells[MAX_PACKET] && cells[CONNECTION] && cells[ROLES]));
}

static mp_status fail_incomplete(mp_error *err) {
  return mp_fail(err, MP_ERR_CONNECT, CR_MALFORMED_PACKET, "the server does not tell its variables");
}

static mp_status take_state(mp_session *session, mp_error *err) {
  baseline *base = &session->base;
  char **cells = session->row;
  base->no_backslash_escapes = strstr(cells[SQL_MODE], "NO_BACKSLASH_ESCAPES") != NULL;
  base->empty_string_is_null = strstr(cells[SQL_MODE], "EMPTY_STRING_IS_NULL") != NULL;
  base->autocommit = is_on(cells[AUTOCOMMIT]);
  base->tx_read_only = is_on(cells[READ_ONLY]);
  base->wait_timeout = (unsigned)strtoul(cells[WAIT_TIMEOUT], NULL, 10);
  base->charset = mp_charset_of(cells[CHARSET], cells[CONNECTION_CHARSET]);
  free(base->charset_client);
  base->charset_client = copy(cells[CHARSET]);
  return base->charset_client ? MP_DONE : mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
}

/* After a reset the server takes no notice of wsrep_sync_wait any more, however it is set, although the
   variable still says what it said before. */
static void take_sync_wait(mp_session *session) {
  bool told = session->base.is_mariadb && mysql_field_count(session->mysql) > SYNC;
  const char *cell = told ? session->row[SYNC] : NULL;
  unsigned long sync = cell ? strtoul(cell, NULL, 10) : 0;
  session->base.on_galera = sync > 0;
  session->base.lost_by_reset = sync > 1;
}

/* The last column, behind those that are asked for in any case. */
static mp_status take_writable(mp_session *session, mp_error *err) {
  const char *cell = session->row[mysql_field_count(session->mysql) - 1];
  if (session->driver->server.need == MP_NEED_NOTHING)
    return MP_DONE;
  session->base.writable = cell && mp_flight_is_writable(cell);
  if (session->driver->server.need == MP_NEED_READ || session->base.writable)
    return MP_DONE;
  return mp_fail(err, MP_ERR_CONNECT, MP_ER_READ_ONLY_MODE, "the server is read-only (need = \"write\")");
}

/* No role is in force: MySQL has a word for that, and gives the names of roles as SQL (manual,
   CURRENT_ROLE). */
static bool is_none(const baseline *base, const char *role) {
  return !base->is_mariadb && role && strcmp(role, "NONE") == 0;
}

/* The collation that the user has asked for; "" where init_connect has chosen another charset, which the
   reset will do again. */
static const char *collation_as_asked(const mp_session *session) {
  char **cells = session->row;
  return is_charset(session->driver->server.charset, cells[CONNECTION_CHARSET]) ? cells[COLLATION] : "";
}

static mp_status take(mp_session *session, mp_error *err) {
  baseline *base = &session->base;
  char **cells = session->row;
  if (!is_complete(session, IDENTITY_OF_SERVER))
    return fail_incomplete(err);
  base->init_connect = copy(cells[INIT_CONNECT]);
  base->collation = copy(collation_as_asked(session));
  base->identity = copy(cells[IDENTITY_OF_SERVER]);
  base->connection_id = strtoull(cells[CONNECTION], NULL, 10);
  base->rolls_back_on_timeout = is_on(cells[ROLLBACK]);
  base->max_packet = strtoull(cells[MAX_PACKET], NULL, 10);
  base->has_roles = strtoul(cells[ROLES], NULL, 10) > 0;
  const char *role = is_none(base, cells[ROLE]) ? NULL : cells[ROLE];
  base->role = role ? copy(role) : NULL;
  if (!base->init_connect || !base->collation || !base->identity || (role && !base->role))
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  if (take_state(session, err) != MP_DONE)
    return MP_FAILED;
  take_sync_wait(session);
  if (take_writable(session, err) != MP_DONE)
    return MP_FAILED;
  base->login_tx_read_only = base->tx_read_only;
  base->login = mp_mode_reading(cells[SQL_MODE], cells[CHARSET]);
  return MP_DONE;
}

/* ---- init_connect ---- */

/* The server skips init_connect for accounts that could repair it (MariaDB knowledge base,
   "init_connect"): from MariaDB 11.0 on SUPER is none of their privileges. They may come with a role, which
   only SHOW GRANTS tells. */
static bool is_exempt_by(const mp_session *session, const char *grant) {
  static const char *const privileges[] = {"ALL PRIVILEGES", "CONNECTION ADMIN", "CONNECTION_ADMIN", "SUPER"};
  bool super = !session->base.is_mariadb || mysql_get_server_version(session->mysql) < 110000;
  size_t count = sizeof privileges / sizeof *privileges - !super;
  const char *scope = strstr(grant, " ON *.* ");
  for (size_t i = 0; scope && i < count; i++) {
    const char *found = strstr(grant, privileges[i]);
    if (found && found < scope)
      return true;
  }
  return false;
}

static mp_status find_exemption(mp_session *session, int64_t deadline_ns, mp_error *err) {
  while (session->result) {
    if (session->row && session->row[0] && is_exempt_by(session, session->row[0]))
      *session->base.init_connect = '\0';
    if (mp_run_fetch(session, deadline_ns, err) != MP_DONE)
      return MP_FAILED;
  }
  return mp_run_end(session, deadline_ns, err);
}

static mp_status drop_init_connect_of_exempt(mp_session *session, int64_t deadline_ns, mp_error *err) {
  if (!*session->base.init_connect)
    return MP_DONE;
  if (mp_run_row(session, "SHOW GRANTS", deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  return find_exemption(session, deadline_ns, err);
}

static mp_status ask(mp_session *session, question *of, int64_t deadline_ns, mp_error *err) {
  session->base.is_mariadb = mariadb_connection(session->mysql);
  mp_status status = mp_run_row(session, of(session, false), deadline_ns, err);
  if (status == MP_DONE || err->code != ER_UNKNOWN_SYSTEM_VARIABLE)
    return status;
  *err = (mp_error){0};
  return mp_run_row(session, of(session, true), deadline_ns, err);
}

mp_status mp_baseline_same_server(mp_session *side, const baseline *base, int64_t deadline_ns,
                                  mp_error *err) {
  if (ask(side, identity, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  if (!side->row[0] || strcmp(side->row[0], base->identity) != 0)
    return mp_fail(err, MP_ERR_LOST, CR_SERVER_LOST, "a second connection led to another server");
  return mp_run_end(side, deadline_ns, err);
}

/* ---- the charset ---- */

/* A server that does not know what was asked for takes its own, and no error says so. init_connect may have
   chosen another one: then the server is asked whether it knows the name, and answers by an error if not. */
static mp_status check_charset(mp_session *session, int64_t deadline_ns, mp_error *err) {
  const char *asked = session->driver->server.charset, *given = session->base.charset_client;
  char sql[128];
  if (is_charset(asked, given))
    return MP_DONE;
  if (!*session->base.init_connect)
    return mp_fail(err, MP_ERR_CONNECT, CR_CANT_READ_CHARSET,
                   "the character set is '%s', not '%s': the server does not know it, or does not let it be "
                   "chosen",
                   given, asked);
  snprintf(sql, sizeof sql, "SELECT CONVERT('' USING %.64s)", asked);
  return mp_run(session, sql, deadline_ns, err);
}

mp_status mp_baseline_record(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_status status = ask(session, everything, deadline_ns, err);
  if (status != MP_DONE || take(session, err) != MP_DONE || mp_run_end(session, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  if (drop_init_connect_of_exempt(session, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  return check_charset(session, deadline_ns, err);
}

mp_status mp_baseline_record_state(mp_session *session, int64_t deadline_ns, mp_error *err) {
  const char *sync = session->base.on_galera ? ", @@wsrep_sync_wait" : "";
  char sql[192];
  snprintf(sql, sizeof sql, STATE "%s%s", mp_flight_read_only(session), sync);
  if (mp_run_row(session, sql, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  if (!is_complete(session, READ_ONLY))
    return fail_incomplete(err);
  if (session->base.on_galera && mysql_field_count(session->mysql) > READ_ONLY + 1)
    session->base.lost_by_reset = is_on(session->row[READ_ONLY + 1]);
  return take_state(session, err) == MP_DONE ? mp_run_end(session, deadline_ns, err) : MP_FAILED;
}

/* Without autocommit each call that a session is lent for alone would be undone at its end: the program must
   have asked for that. */
mp_status mp_baseline_check(const mp_session *session, mp_error *err) {
  unsigned status = session->mysql->server_status;
  if (session->driver->server.autocommit_off)
    return MP_DONE;
  err->phase = MP_PHASE_CONNECT;
  if (!session->base.autocommit || !(status & SERVER_STATUS_AUTOCOMMIT))
    return mp_fail(err, MP_ERR_CONNECT, 0,
                   "a new session has autocommit off, so all that pool:query and the like write would be "
                   "undone: switch it on by init_sql, or give the pool the option autocommit = false");
  if (status & SERVER_STATUS_IN_TRANS)
    return mp_fail(err, MP_ERR_CONNECT, 0,
                   "a new session is in a transaction, which init_sql or on_connect has left open, so all "
                   "that pool:query and the like write would be undone");
  return MP_DONE;
}
