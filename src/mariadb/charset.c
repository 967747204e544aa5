/* The session's character set, as the server has told it: at the baseline, when it was asked, and with the
   reply to a SET that names it. In between it is in doubt after each statement that may have chosen another
   one. */
#include "charset.h"

#include <string.h>

bool mp_charset_is_utf8(const char *name) {
  return strncmp(name, "utf8", 4) == 0;
}

static bool is_utf8mb4(const char *name) {
  return strcmp(name, "utf8mb4") == 0;
}

/* The server reads text by the first, and converts it to the second at once. */
charset_belief mp_charset_of(const char *client, const char *connection) {
  return (charset_belief){.utf8 = mp_charset_is_utf8(client) && mp_charset_is_utf8(connection),
                          .utf8mb4 = is_utf8mb4(client) && is_utf8mb4(connection)};
}

/* A text of more than one statement has several replies, or none that tells. */
void mp_charset_before_statement(mp_session *session, mp_sql_effect effect, bool may_set_charset) {
  session->mode.charset.in_doubt |= may_set_charset;
  session->mode.charset_awaited = may_set_charset && effect == MP_EFFECT_WHOLE;
}

/* ---- what the reply tells ---- */

typedef struct charset_names {
  char client[32], connection[32];
} charset_names;

static bool is_name(const char *name, size_t length, const char *wanted) {
  return length == strlen(wanted) && memcmp(name, wanted, length) == 0;
}

static bool get_next(MYSQL *mysql, const char **text, size_t *length) {
  return mysql_session_track_get_next(mysql, SESSION_TRACK_SYSTEM_VARIABLES, text, length) == 0;
}

static void keep(char kept[32], const char *value, size_t length) {
  if (length < 32)
    memcpy(kept, value, length);
}

/* Reads what the server has told with its reply: names of variables and their values in turn. */
static void read_told(MYSQL *mysql, charset_names *told) {
  const char *name, *value;
  size_t length, size;
  bool found = mysql_session_track_get_first(mysql, SESSION_TRACK_SYSTEM_VARIABLES, &name, &length) == 0;
  for (; found && get_next(mysql, &value, &size); found = get_next(mysql, &name, &length)) {
    if (is_name(name, length, "character_set_client"))
      keep(told->client, value, size);
    else if (is_name(name, length, "character_set_connection"))
      keep(told->connection, value, size);
  }
}

/* SET NAMES and SET CHARACTER SET tell both; SET @@character_set_client tells MySQL's client only, MariaDB's
   not even that. */
void mp_charset_after_reply(mp_session *session) {
  MYSQL *mysql = session->mysql;
  charset_names told = {{0}, {0}};
  if (!session->mode.charset_awaited)
    return;
  session->mode.charset_awaited = false;
  if (mysql->server_status & SERVER_SESSION_STATE_CHANGED)
    read_told(mysql, &told);
  if (*told.client && *told.connection)
    session->mode.charset = mp_charset_of(told.client, told.connection);
}
