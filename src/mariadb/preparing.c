/* Replies that libmariadb believes although they are damaged. Of the reply to a prepare it would believe the
   number of parameters, and the program would be told that it had got that wrong. So the packets behind the
   first one are looked at here: the first must have been what it should be, and as many parameters must be
   described as it said (MariaDB knowledge base, "COM_STMT_PREPARE"). A reply to an execute may leave out its
   columns where they are as before ("Result Set Packets", the metadata flag). libmariadb then copies those
   that it knows, also where it knows none or another number. And in a row it believes each value's length. */
#include "preparing.h"

#include <errmsg.h>
#include <stddef.h>

#include "binary.h"
#include "call.h"

enum { HEADER = 4, REPLY = 12, EOF_MOST = 8 };

static const unsigned long failed = packet_error; /* what libmariadb returns for a length then */

static my_bool fail(MYSQL *mysql, const char *message) {
  mysql->methods->set_error(mysql, CR_MALFORMED_PACKET, "HY000", "%s", message);
  return 1;
}

static my_bool fail_damaged(MYSQL *mysql) {
  return fail(mysql, "the reply to a prepare is damaged");
}

static const mp_session *session_of(const MYSQL *mysql) {
  return (const mp_session *)(const void *)((const char *)mysql->methods -
                                            offsetof(mp_session, preparing.methods));
}

static bool has_ok(const MYSQL *mysql) {
  return mysql->net.read_pos && mysql->net.read_pos[0] == 0;
}

/* Passes over the descriptions of the parameters: nothing of them is of use but how many there are. */
static my_bool pass_parameters(MYSQL_STMT *stmt) {
  MYSQL *mysql = stmt->mysql;
  if (!has_ok(mysql))
    return fail_damaged(mysql);
  for (unsigned count = 0;; count++) {
    unsigned long length = mysql_net_read_packet(mysql);
    if (length == failed)
      return 1;
    if (mysql->net.read_pos[0] == 0xFE && length <= EOF_MOST)
      return count == stmt->param_count ? 0 : fail_damaged(mysql);
  }
}

static my_bool read_columns(MYSQL_STMT *stmt) {
  MYSQL *mysql = stmt->mysql;
  if (stmt->param_count == 0 && !has_ok(mysql))
    return fail_damaged(mysql);
  return session_of(mysql)->preparing.ordinary->db_stmt_get_result_metadata(stmt);
}

/* ---- replies to an execute ---- */

/* Later versions also pass the row's length, which is of no use: what a server says is not to lead beyond the
   buffer. */
static int locate_values(MYSQL_STMT *stmt, unsigned char *row) {
  mp_binary_locate(stmt, row);
  return 0;
}

static int check_columns(MYSQL *mysql, unsigned known) {
  bool left_out = mysql->field_count > 0 && !mysql->fields;
  return left_out && mysql->field_count != known ? fail(mysql, "a result comes without its columns") : 0;
}

static int read_first_reply(MYSQL *mysql) {
  const mp_session *session = session_of(mysql);
  int status = session->preparing.ordinary->db_read_stmt_result(mysql);
  return status ? status : check_columns(mysql, session->prepared.executing->stmt->field_count);
}

/* Reads the reply behind a result, also that to a text statement: columns are never left out there. */
static int read_next_reply(MYSQL *mysql) {
  int status = session_of(mysql)->preparing.ordinary->db_read_query_result(mysql);
  return status ? status : check_columns(mysql, 0);
}

/* 3.3 and 3.4 have the same functions in the same places. A later library than the headers may have others.
 */
static bool has_the_methods_of_its_headers(void) {
  unsigned long library = mysql_get_client_version() / 100;
  unsigned long headers = MARIADB_PACKAGE_VERSION_ID / 100;
  return library == headers || (library <= 304 && headers <= 304);
}

void mp_preparing_begin(mp_session *session) {
  MYSQL *mysql = session->mysql;
  if (session->preparing.ordinary || !has_the_methods_of_its_headers())
    return;
  session->preparing.ordinary = mysql->methods;
  session->preparing.methods = *mysql->methods;
  session->preparing.methods.db_stmt_get_param_metadata = pass_parameters;
  session->preparing.methods.db_stmt_get_result_metadata = read_columns;
  session->preparing.methods.db_read_stmt_result = read_first_reply;
  session->preparing.methods.db_read_query_result = read_next_reply;
  session->preparing.methods.db_stmt_fetch_to_bind =
      (__typeof__(mysql->methods->db_stmt_fetch_to_bind))(void (*)(void))locate_values;
  mysql->methods = &session->preparing.methods;
}

/* libmariadb does not keep the length, but as a rule its cache still has the packet, alone. */
static bool was_too_short(const MARIADB_PVIO *pvio) {
  size_t taken = pvio && pvio->cache && pvio->cache_pos ? (size_t)(pvio->cache_pos - pvio->cache) : 0;
  return taken >= HEADER && taken < HEADER + REPLY && pvio->cache[0] == taken - HEADER;
}

bool mp_preparing_is_undamaged(const mp_session *session, const MYSQL_STMT *stmt) {
  bool described = stmt->param_count > 0 || stmt->field_count > 0;
  if (!described && (!has_ok(session->mysql) || was_too_short(session->mysql->net.pvio)))
    return false;
  return !mp_call_has_cached(session);
}
