/* The reply to a prepare, which libmariadb takes as it comes: of a damaged one it would believe the number of
   parameters, and the program would be told that it had got that wrong. So what follows the first packet is
   looked at here: whether that packet was what it should be, and whether as many parameters are described as
   it said. (MariaDB knowledge base, "COM_STMT_PREPARE".) */
#include "preparing.h"

#include <errmsg.h>
#include <stddef.h>

#include "call.h"

enum { HEADER = 4, REPLY = 12, EOF_MOST = 8 };

static const unsigned long failed = packet_error; /* what libmariadb returns for a length then */

static my_bool fail_damaged(MYSQL *mysql) {
  mysql->methods->set_error(mysql, CR_MALFORMED_PACKET, "HY000", "%s", "the reply to a prepare is damaged");
  return 1;
}

static bool begins_well(const MYSQL *mysql) {
  return mysql->net.read_pos && mysql->net.read_pos[0] == 0;
}

/* Nothing of their descriptions is of use but how many there are. */
static my_bool pass_parameters(MYSQL_STMT *stmt) {
  MYSQL *mysql = stmt->mysql;
  if (!begins_well(mysql))
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
  const mp_session *session = (const mp_session *)(const void *)((const char *)mysql->methods -
                                                                 offsetof(mp_session, preparing.methods));
  if (stmt->param_count == 0 && !begins_well(mysql))
    return fail_damaged(mysql);
  return session->preparing.ordinary->db_stmt_get_result_metadata(stmt);
}

/* A library of another series than the headers may have other functions in these places. */
static bool has_the_series_of_its_headers(void) {
  return mysql_get_client_version() / 100 == MARIADB_PACKAGE_VERSION_ID / 100;
}

void mp_preparing_begin(mp_session *session) {
  MYSQL *mysql = session->mysql;
  if (session->preparing.ordinary || !has_the_series_of_its_headers())
    return;
  session->preparing.ordinary = mysql->methods;
  session->preparing.methods = *mysql->methods;
  session->preparing.methods.db_stmt_get_param_metadata = pass_parameters;
  session->preparing.methods.db_stmt_get_result_metadata = read_columns;
  mysql->methods = &session->preparing.methods;
}

/* libmariadb does not keep the length, but as a rule its cache still has the packet, alone. */
static bool was_too_short(const MARIADB_PVIO *pvio) {
  size_t taken = pvio && pvio->cache && pvio->cache_pos ? (size_t)(pvio->cache_pos - pvio->cache) : 0;
  return taken >= HEADER && taken < HEADER + REPLY && pvio->cache[0] == taken - HEADER;
}

bool mp_preparing_ended_well(const mp_session *session, const MYSQL_STMT *stmt) {
  bool described = stmt->param_count > 0 || stmt->field_count > 0;
  if (!described && (!begins_well(session->mysql) || was_too_short(session->mysql->net.pvio)))
    return false;
  return !mp_call_has_cached(session);
}
