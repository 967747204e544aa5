/* Asks a new session what its state is, so that a reset can lead back to it. */
#include <errmsg.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

/* One statement, as it costs every connect a round trip. MySQL counts roles elsewhere, so
   there the role is restored whenever the server knows the word. */
static const char mariadb_sql[] =
    "SELECT @@init_connect, @@wait_timeout, @@max_allowed_packet, @@collation_connection, "
    "CURRENT_ROLE(), (SELECT COUNT(*) FROM information_schema.APPLICABLE_ROLES)";
static const char mysql_sql[] =
    "SELECT @@init_connect, @@wait_timeout, @@max_allowed_packet, @@collation_connection, "
    "CURRENT_ROLE(), 1";
static const char old_mysql_sql[] =
    "SELECT @@init_connect, @@wait_timeout, @@max_allowed_packet, @@collation_connection, "
    "NULL, 0";

enum { INIT_CONNECT, WAIT_TIMEOUT, MAX_PACKET, COLLATION, ROLE, ROLES };

static const char *question(const mp_session *session) {
  if (session->base.is_mariadb)
    return mariadb_sql;
  return mysql_get_server_version(session->mysql) >= 80000 ? mysql_sql : old_mysql_sql;
}

static char *copy(const char *text) {
  return strdup(text ? text : "");
}

/* A proxy, or what only looks like a server, may answer anything. */
static bool is_complete(const mp_session *session) {
  char **cells = session->row;
  return mysql_field_count(session->mysql) > ROLES && cells[WAIT_TIMEOUT] && cells[MAX_PACKET] &&
         cells[ROLES];
}

/* MySQL has a word for it, and gives the names of roles as SQL (manual, CURRENT_ROLE). */
static bool is_none(const baseline *base, const char *role) {
  return !base->is_mariadb && role && strcmp(role, "NONE") == 0;
}

static mp_status take(mp_session *session, mp_error *err) {
  baseline *base = &session->base;
  char **cells = session->row;
  if (!is_complete(session))
    return mp_fail(err, MP_ERR_CONNECT, CR_MALFORMED_PACKET, "the server does not tell its variables");
  base->init_connect = copy(cells[INIT_CONNECT]);
  base->collation = copy(cells[COLLATION]);
  base->wait_timeout = (unsigned)strtoul(cells[WAIT_TIMEOUT], NULL, 10);
  base->max_packet = strtoull(cells[MAX_PACKET], NULL, 10);
  base->has_roles = strtoul(cells[ROLES], NULL, 10) > 0;
  const char *role = is_none(base, cells[ROLE]) ? NULL : cells[ROLE];
  base->role = role ? copy(role) : NULL;
  if (!base->init_connect || !base->collation || (role && !base->role))
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  return MP_DONE;
}

/* ---- init_connect ---- */

/* The server skips init_connect for accounts that could repair it (MariaDB knowledge base,
   "init_connect"). Their privileges may come with a role, which only SHOW GRANTS tells. */
static bool exempts(const char *grant) {
  static const char *const privileges[] = {"ALL PRIVILEGES", "SUPER", "CONNECTION ADMIN", "CONNECTION_ADMIN"};
  const char *scope = strstr(grant, " ON *.* ");
  for (size_t i = 0; scope && i < sizeof privileges / sizeof *privileges; i++) {
    const char *found = strstr(grant, privileges[i]);
    if (found && found < scope)
      return true;
  }
  return false;
}

static mp_status find_exemption(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_row row;
  while (session->result) {
    if (session->row && session->row[0] && exempts(session->row[0]))
      *session->base.init_connect = '\0';
    if (mp_task_run(session, mp_statement_fetch(session, &row, err), deadline_ns, err) != MP_DONE)
      return MP_FAILED;
  }
  return mp_run_end(session, deadline_ns, err);
}

static mp_status forget_init_connect_of_exempt(mp_session *session, int64_t deadline_ns, mp_error *err) {
  if (!*session->base.init_connect)
    return MP_DONE;
  if (mp_run_row(session, "SHOW GRANTS", deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  return find_exemption(session, deadline_ns, err);
}

mp_status mp_baseline_record(mp_session *session, int64_t deadline_ns, mp_error *err) {
  session->base.no_backslash_escapes = session->mysql->server_status & SERVER_STATUS_NO_BACKSLASH_ESCAPES;
  session->base.is_mariadb = mariadb_connection(session->mysql);
  if (mp_run_row(session, question(session), deadline_ns, err) != MP_DONE || take(session, err) != MP_DONE ||
      mp_run_end(session, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  return forget_init_connect_of_exempt(session, deadline_ns, err);
}

/* Once the user's SQL has run. It may have chosen a database, and a role even where the server
   counts none: then the role is restored in any case. */
void mp_baseline_settle(baseline *base, const MYSQL *mysql, bool user_sql) {
  free(base->database);
  base->charset = mysql->charset;
  base->database = mysql->db && *mysql->db ? strdup(mysql->db) : NULL;
  base->has_roles |= user_sql || base->role;
}

void mp_baseline_free(baseline *base) {
  free(base->database);
  free(base->role);
  free(base->init_connect);
  free(base->collation);
}
