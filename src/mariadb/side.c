/* A second connection to the server of a session, to stop its statement there. What it leads to may be
   another server, behind a balancer, say, where another program's connection has the number of the session's;
   or a proxy may have given the session's thread to somebody else. So nothing is believed that is not
   proven. */
#include "side.h"

#include <ctype.h>
#include <errmsg.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "baseline.h"
#include "blocking.h"
#include "close.h"
#include "login.h"

/* ---- the way to the server ---- */

/* The name may lead to another server by now. A unix socket is named by its path. */
static bool set_address(mp_session *side, mp_session *session) {
  const char *name = session->address.host;
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  char port[NI_MAXSERV];
  if (session->address.socket)
    return true;
  size_t size = NI_MAXHOST + (name ? strlen(name) : 0);
  side->numeric_host = malloc(size);
  if (!side->numeric_host || !session->mysql->net.pvio ||
      getpeername(mysql_get_socket(session->mysql), (struct sockaddr *)&peer, &length) != 0 ||
      getnameinfo((struct sockaddr *)&peer, length, side->numeric_host, NI_MAXHOST, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return false;
  side->address.port = (unsigned)strtoul(port, NULL, 10);
  return true;
}

mp_session *mp_side_open(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_session *side = mp_login_new(session);
  if (side && set_address(side, session) && mp_login(side, deadline_ns, err) == MP_DONE &&
      mp_baseline_same_server(side, &session->base, deadline_ns, err) == MP_DONE)
    return side;
  if (side)
    mp_session_close(side);
  mp_fail(err, MP_ERR_LOST, CR_SERVER_LOST, "no second connection");
  return NULL;
}

/* ---- the statement there ---- */

/* Characters that the server does not keep at either end of a statement. */
static bool is_dropped(char byte) {
  return byte == ';' || isspace((unsigned char)byte);
}

/* Up to the first character for which this is false the server shows the text as it was sent: MySQL converts
   it, and the values of a prepared statement may stand in the place of its question marks. */
static bool is_kept(const mp_session *session, char byte) {
  return (byte != '?' || !session->executed) && (session->base.is_mariadb || (unsigned char)byte < 0x80);
}

static bool has_head(const mp_session *session, const char *info, size_t info_length) {
  const statement_head *head = &session->text.head;
  size_t first = 0, end = 0;
  while (end < head->length && is_kept(session, head->text[end]))
    end++;
  while (first < end && is_dropped(head->text[first]))
    first++;
  while (end > first && is_dropped(head->text[end - 1]))
    end--;
  return info_length >= end - first && memcmp(info, head->text + first, end - first) == 0;
}

/* The session's own port. 0 for a unix socket, of which the server shows no port either. */
static unsigned own_port(const mp_session *session) {
  struct sockaddr_storage own = {0};
  socklen_t length = sizeof own;
  getsockname(mysql_get_socket(session->mysql), (struct sockaddr *)&own, &length);
  if (own.ss_family == AF_INET6)
    return ntohs(((const struct sockaddr_in6 *)(const void *)&own)->sin6_port);
  return own.ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)(const void *)&own)->sin_port) : 0;
}

static unsigned port_of(const char *host) {
  const char *colon = host ? strrchr(host, ':') : NULL;
  return colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

/* No proxy in between numbers connections, and the server sees the session's own port. */
static bool is_direct(const mp_session *session, const char *host) {
  return mysql_thread_id(session->mysql) == session->base.connection_id && port_of(host) == own_port(session);
}

enum { QUERY, INFO, HOST };

/* KILL QUERY ID names the statement, not the connection: for one that has ended by itself it does nothing but
   answer 1957. MySQL does not know it. Within a routine or a trigger the server shows the statement that runs
   there, and they may follow each other too fast for that: then the thread itself must be proven to be the
   session's. */
static mp_status put_kill(mp_session *side, const mp_session *session, char kill[KILL_SIZE]) {
  char **cells = side->row;
  bool whole = has_head(session, cells[INFO], mysql_fetch_lengths(side->result)[INFO]);
  if (!whole && !is_direct(session, cells[HOST]))
    return MP_FAILED;
  if (whole && side->base.is_mariadb)
    snprintf(kill, KILL_SIZE, "KILL QUERY ID %.20s", cells[QUERY]);
  else
    snprintf(kill, KILL_SIZE, "KILL QUERY %llu", (unsigned long long)session->base.connection_id);
  return MP_DONE;
}

static mp_status ask_list(mp_session *side, const mp_session *session, const char *list, int64_t deadline_ns,
                          mp_error *err) {
  char sql[160];
  const char *columns = side->base.is_mariadb ? "QUERY_ID, LEFT(INFO_BINARY, 512)" : "ID, LEFT(INFO, 512)";
  snprintf(sql, sizeof sql, "SELECT %s, HOST FROM %s WHERE ID = %llu", columns, list,
           (unsigned long long)session->base.connection_id);
  return mp_run_row(side, sql, deadline_ns, err);
}

/* MySQL's older list fails as a whole while any statement on the server has bytes that are no text; the newer
   one shows a statement up to such a byte, but is empty where the performance schema is off. */
static mp_status ask_lists(mp_session *side, const mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_status status = ask_list(side, session, "information_schema.PROCESSLIST", deadline_ns, err);
  if (status == MP_DONE || side->base.is_mariadb || err->kind != MP_ERR_SERVER)
    return status;
  *err = (mp_error){0};
  return ask_list(side, session, "performance_schema.processlist", deadline_ns, err);
}

mp_status mp_side_find(mp_session *side, const mp_session *session, int64_t deadline_ns, char kill[KILL_SIZE],
                       mp_error *err) {
  if (ask_lists(side, session, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  kill[0] = '\0';
  if (side->row[QUERY] && side->row[INFO] && put_kill(side, session, kill) != MP_DONE)
    return mp_fail(err, MP_ERR_LOST, CR_SERVER_LOST, "the thread of this number runs another statement");
  return mp_run_end(side, deadline_ns, err);
}
