/* The flight: all that a reset sends.

   COM_RESET_CONNECTION clears nearly all of a session, but leaves the database, the role and
   the profiles, and sets variables to the server's current globals, not to what the session
   began with. So more packets go in the same flight:

     ROLLBACK              if the session is in a transaction
     COM_RESET_CONNECTION
     SET ROLE …            for an account that may
     COM_INIT_DB           the database, and with it character_set_database
     SET NAMES …           if the collation is the user's, or the server MySQL
     SET rand_seed1 = …    on a MariaDB whose reset leaves them: or RAND() could be foretold
     SELECT … WHERE …      what must not be, a role or a database; FOUND_ROWS() is 0 again
     SHOW PROFILES         must be empty: no command drops the texts that it shows; on MySQL before the SELECT
     init_connect          and after it SET NAMES again if the collation is the user's
     init_sql, the statements of on_connect
     SELECT … WHERE FALSE  if there are any of these

   The last reply is always one that looks like no other. So it proves that all before it are those that
   were asked for: were there one too many, or one too few, it would not come last. */
#include "flight.h"

#include <ctype.h>
#include <errmsg.h>
#include <stdlib.h>
#include <string.h>

#include "familiar.h"
#include "version.h"

/* ---- the baseline that it leads to ---- */

/* MySQL 8 has dropped the older name, which MariaDB has had for longer than the newer one. */
const char *mp_flight_read_only(const mp_session *session) {
  bool renamed = !session->base.is_mariadb && mp_server_version(session->mysql) >= 80000;
  return renamed ? "@@transaction_read_only" : "@@tx_read_only";
}

/* init SQL and on_connect may have chosen a database, and a role even where the server counts none: then the
   role is restored in any case. */
void mp_flight_after_user_sql(baseline *base, const MYSQL *mysql, bool user_sql) {
  free(base->database);
  base->database = mysql->db && *mysql->db ? strdup(mysql->db) : NULL;
  base->has_roles |= user_sql || base->role;
}

void mp_flight_free(mp_session *session) {
  baseline *base = &session->base;
  free(base->database);
  free(base->role);
  free(base->init_connect);
  free(base->collation);
  free(base->identity);
  free(base->charset_client);
  mp_buffer_free(&session->flight.packets);
  mp_familiar_free(session);
}

bool mp_flight_is_writable(const char *answer) {
  return strcmp(answer, "0") == 0 || strcmp(answer, "OFF") == 0;
}

/* ---- packets ---- */

/* Header: three bytes of length, a sequence number, the command (MariaDB knowledge base,
   "0-packet"). What is longer than that can say would have to be split: the rest of it would be
   read as another command. */
enum { LONGEST_PAYLOAD = (1 << 24) - 2 };

bool mp_flight_may_take(size_t length) {
  return length < LONGEST_PAYLOAD;
}

static void add_packet(mp_session *session, enum enum_server_command command, const char *text,
                       size_t length) {
  size_t size = length + 1;
  char header[5] = {(char)size, (char)(size >> 8), (char)(size >> 16), 0, (char)command};
  session->flight.packets.failed |= !mp_flight_may_take(length);
  mp_buffer_add(&session->flight.packets, header, sizeof header);
  mp_buffer_add(&session->flight.packets, text, length);
  session->flight.replies++;
}

static void add_query(mp_session *session, const char *sql) {
  add_packet(session, COM_QUERY, sql, strlen(sql));
}

static void add_text(mp_buffer *sql, const char *text) {
  mp_buffer_add(sql, text, strlen(text));
}

/* Adds a statement that was put together, and frees it. */
static void add_built(mp_session *session, mp_buffer *sql) {
  if (!sql->failed)
    add_packet(session, COM_QUERY, sql->data, sql->length);
  session->flight.packets.failed |= sql->failed;
  mp_buffer_free(sql);
}

static void add_names(mp_session *session) {
  mp_buffer sql = {0};
  add_text(&sql, "SET NAMES ");
  add_text(&sql, session->driver->server.charset);
  if (*session->base.collation) {
    add_text(&sql, " COLLATE ");
    add_text(&sql, session->base.collation);
  }
  add_built(session, &sql);
}

/* MariaDB returns to the charset of the handshake with its default collation, MySQL to the
   server's charset. */
static bool needs_names(const mp_session *session) {
  return !session->base.is_mariadb || session->driver->server.collation;
}

/* At connect the user's collation comes behind init_connect, which may choose another charset. */
static bool needs_names_again(const mp_session *session) {
  return session->driver->server.collation && *session->base.init_connect;
}

/* A reset leaves the seeds of RAND() (seen with 10.5, no more with 10.11). The server makes the new ones,
   each time others. */
static void add_seeds(mp_session *session) {
  if (session->base.is_mariadb && mp_server_version(session->mysql) < 101100)
    add_query(session, "SET rand_seed1 = CRC32(SHA1(UUID())), rand_seed2 = CRC32(MD5(UUID()))");
}

static void add_role(mp_session *session) {
  const char *role = session->base.role;
  mp_buffer sql = {0};
  if (!session->base.has_roles)
    return;
  add_text(&sql, "SET ROLE ");
  if (role && !session->base.is_mariadb)
    add_text(&sql, role);
  else if (role)
    mp_encode_identifier(&sql, role, strlen(role), &(mp_sql_mode){.utf8 = true});
  else
    add_text(&sql, "NONE");
  add_built(session, &sql);
}

/* The guard is a statement without rows unless something is left that no command takes away: a database where
   there was none; the client's own idea of it is no proof, as a borrower may have switched the tracking off.
   A role of an account that had none to choose: it may have been granted one since. On MySQL roles are always
   restored, where there are any. And a server that lets transactions write which it did not let before, or no
   more: a failover. With a need the server's own variable is asked for as well: the row tells it. */
static void add_guard(mp_session *session) {
  const baseline *base = &session->base;
  bool role = base->is_mariadb && !base->has_roles, database = !base->database;
  bool needy = session->driver->server.need != MP_NEED_NOTHING;
  mp_buffer sql = {0};
  add_text(&sql, needy ? "SELECT " MP_FLIGHT_SERVER_READ_ONLY : "SELECT 1");
  add_text(&sql, role ? " FROM DUAL WHERE CURRENT_ROLE() IS NOT NULL" : " FROM DUAL WHERE FALSE");
  add_text(&sql, database ? " OR DATABASE() IS NOT NULL OR " : " OR ");
  add_text(&sql, mp_flight_read_only(session));
  add_text(&sql, base->login_tx_read_only ? " = 0" : "");
  if (needy)
    add_text(&sql, base->writable ? " OR " MP_FLIGHT_SERVER_READ_ONLY " NOT IN ('0', 'OFF')"
                                  : " OR " MP_FLIGHT_SERVER_READ_ONLY " IN ('0', 'OFF')");
  add_text(&sql, " LIMIT 1");
  session->flight.guard_reply = session->flight.replies;
  add_built(session, &sql);
}

/* SHOW PROFILES: the texts of the last borrower's statements, if it had them profiled. */
static void add_profiles(mp_session *session) {
  session->flight.profiles_reply = session->flight.replies;
  add_query(session, "SHOW PROFILES");
}

/* MariaDB's reset does not end profiling: while it goes on the guard is among the profiles. On MySQL they
   leave a warning, that they are deprecated, which the guard takes away; SET NAMES would be among them. */
static void add_proofs(mp_session *session) {
  if (!session->base.is_mariadb)
    add_profiles(session);
  add_guard(session);
  if (session->base.is_mariadb)
    add_profiles(session);
  session->flight.own_replies = session->flight.replies;
}

static void add_database(mp_session *session) {
  const char *database = session->base.database;
  if (database)
    add_packet(session, COM_INIT_DB, database, strlen(database));
}

/* The reply to the seal ends the flight: see above. */
static void add_seal(mp_session *session) {
  session->flight.seal_reply = session->flight.replies;
  session->flight.seal_length = session->flight.packets.length;
  add_query(session, "SELECT 1 AS `" MP_SEAL "` FROM DUAL WHERE FALSE");
}

static void drop_seal(mp_session *session) {
  if (session->flight.seal_reply == 0)
    return;
  session->flight.replies = session->flight.seal_reply;
  session->flight.packets.length = session->flight.seal_length;
  session->flight.seal_reply = 0;
}

/* ---- init_connect ---- */

static bool is_word_char(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c > 0x7F;
}

/* Takes `word` off the front of the text, if it is the next word. */
static bool take_word(mp_scanner *scanner, const char *word) {
  size_t length = strlen(word);
  mp_scanner_skip_blank(scanner);
  size_t left = (size_t)(scanner->end - scanner->at);
  if (left < length || !mp_sql_is_word(scanner->at, word, length) ||
      (left > length && is_word_char(scanner->at[length])))
    return false;
  scanner->at += length;
  return true;
}

/* A statement begins that may have semicolons inside. Under sql_mode ORACLE that is also DECLARE, and any
   BEGIN but that of a transaction. No server takes a label here. */
static bool is_compound(mp_scanner from) {
  static const char *const words[] = {"IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR", "DECLARE"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (take_word(&from, words[i]))
      return true;
  if (!take_word(&from, "BEGIN"))
    return false;
  take_word(&from, "WORK");
  mp_scanner_skip_blank(&from);
  return from.at < from.end && *from.at != ';';
}

/* init_connect may hold several statements, which this client cannot send as one. Where a compound statement
   ends only the server can tell: it is sent with all that follows. So is a text whose semicolons may be
   quoted or not by all that is known: better that the server refuses it than that a piece of a string is
   run. */
static void add_init_connect(mp_session *session) {
  const char *text = session->base.init_connect, *end = text + strlen(text);
  if (text == end)
    return;
  mp_sql_mode mode = {
      .reading = session->base.login, .escapes_known = true, .quotes_known = true, .charset_known = true};
  bool clear = mp_scanner_is_certain(text, strlen(text), &mode, ';');
  mp_scanner scanner;
  mp_scanner_init(&scanner, text, strlen(text), mode.reading);
  while (text < end) {
    const char *stop = !clear || is_compound(scanner) ? NULL : mp_scanner_find(&scanner, ';');
    size_t length = (size_t)((stop ? stop : end) - text);
    if (strspn(text, " \t\r\n") < length)
      add_packet(session, COM_QUERY, text, length);
    text = stop ? stop + 1 : end;
  }
}

/* ---- all of it ---- */

mp_status mp_flight_build(mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  if (!mp_flight_may_take(strlen(session->base.init_connect)))
    return mp_fail(err, MP_ERR_CONNECT, 0, "the server's init_connect is too long to be repeated");
  session->flight.packets.length = session->flight.replies = session->flight.seal_reply = 0;
  add_packet(session, COM_RESET_CONNECTION, NULL, 0);
  add_role(session);
  add_database(session);
  if (needs_names(session))
    add_names(session);
  add_seeds(session);
  add_proofs(session);
  add_init_connect(session);
  if (needs_names_again(session))
    add_names(session);
  for (size_t i = 0; i < server->init_sql_count; i++)
    add_query(session, server->init_sql[i]);
  session->flight.built_length = session->flight.packets.length;
  session->flight.built_replies = session->flight.replies;
  if (session->flight.replies > session->flight.own_replies)
    add_seal(session);
  if (session->flight.packets.failed)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  return MP_DONE;
}

/* ---- the statements of on_connect ---- */

/* It may be a string, or the name of something else: then sessions are closed in vain. */
static bool mentions_sync_wait(const char *sql, size_t length) {
  static const char name[] = "wsrep_sync_wait";
  for (size_t i = 0; i + sizeof name - 1 <= length; i++)
    if (mp_sql_is_word(sql + i, name, sizeof name - 1))
      return true;
  return false;
}

void mp_flight_add(mp_session *session, const char *sql, size_t length) {
  session->base.lost_by_reset |= session->base.on_galera && mentions_sync_wait(sql, length);
  drop_seal(session);
  add_packet(session, COM_QUERY, sql, length);
  add_seal(session);
}

/* The statements of on_connect may have chosen a database or a role, which the beginning of the flight must
   know. */
static void rebuild(mp_session *session) {
  drop_seal(session);
  mp_error ignored = {0};
  mp_buffer before = session->flight.packets;
  size_t built = session->flight.built_length;
  unsigned recorded = session->flight.replies - session->flight.built_replies;
  session->flight.packets = (mp_buffer){0};
  mp_flight_after_user_sql(&session->base, session->mysql, true);
  session->base.charset = session->mode.charset;
  mp_flight_build(session, &ignored);
  drop_seal(session);
  mp_buffer_add(&session->flight.packets, before.data + built, before.length - built);
  session->flight.replies += recorded;
  add_seal(session);
  mp_buffer_free(&before);
}

void mp_flight_record(mp_session *session, bool on) {
  session->flight.recording = on;
  mp_familiar_free(session);
  if (!on && session->flight.seal_reply > session->flight.built_replies)
    rebuild(session);
}
