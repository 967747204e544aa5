/* The replies to a session's resets are the same, byte for byte, as long as nothing is amiss, and reading
   them is most of what a reset costs the client. So they are compared, not read. No byte is judged here:
   whatever differs from what libmariadb has read and reset.c found right, they read and judge. */
#include "familiar.h"

#include <errno.h>
#include <string.h>

#include "os/socket.h"

/* Those to mypool's own packets have some 300 bytes. Statements of on_connect may have rows. */
enum { LONGEST = 1024 };

static size_t cached(const MARIADB_PVIO *pvio) {
  const uchar *end = pvio->cache + pvio->cache_size;
  return pvio->cache_pos < end ? (size_t)(end - pvio->cache_pos) : 0;
}

/* Not under TLS, with compression, in the middle of a flight, or behind a ROLLBACK. */
static bool is_whole(const mp_session *session) {
  const NET *net = &session->mysql->net;
  return session->call.ordinary && !net->compress && net->pvio && net->pvio->cache &&
         session->reset.unsent == 0 && session->reset.replies_pending == session->flight.replies;
}

/* The replies may tell a database and a charset. Where libmariadb knows of those already that it knew of when
   they were read, reading them again would change neither. */
static bool is_at_baseline(const mp_session *session) {
  const char *database = session->mysql->db, *wanted = session->base.database;
  return database && wanted ? strcmp(database, wanted) == 0 : !database && !wanted;
}

static bool is_known(const mp_session *session) {
  return session->familiar.replies.length > 0 && session->familiar.charset == session->mysql->charset &&
         is_at_baseline(session);
}

/* Reads ahead as libmariadb does, behind what it has read ahead already. False: the connection has ended, or
   there is no room. */
static bool receive(MYSQL *mysql) {
  MARIADB_PVIO *pvio = mysql->net.pvio;
  if (cached(pvio) == 0) {
    pvio->cache_pos = pvio->cache;
    pvio->cache_size = 0;
  }
  ssize_t length = mp_socket_receive(mysql_get_socket(mysql), pvio->cache + pvio->cache_size,
                                     PVIO_READ_AHEAD_CACHE_SIZE - pvio->cache_size);
  if (length > 0)
    pvio->cache_size += (size_t)length;
  return length > 0 || (length < 0 && errno == EAGAIN);
}

static void take(mp_session *session) {
  MYSQL *mysql = session->mysql;
  mysql->net.pvio->cache_pos += session->familiar.replies.length;
  mysql->server_status = session->familiar.status;
  mysql->warning_count = session->familiar.warnings;
}

mp_status mp_familiar_look(mp_session *session) {
  const mp_buffer *known = &session->familiar.replies;
  if (!is_whole(session) || !is_known(session))
    return MP_FAILED;
  MARIADB_PVIO *pvio = session->mysql->net.pvio;
  if (cached(pvio) < known->length && !receive(session->mysql))
    return MP_FAILED;
  size_t here = cached(pvio);
  if (here > known->length || memcmp(pvio->cache_pos, known->data, here) != 0)
    return MP_FAILED;
  if (here < known->length)
    return MP_WAIT;
  take(session);
  return MP_DONE;
}

/* ---- what is to be familiar ---- */

void mp_familiar_begin(mp_session *session) {
  session->familiar.is_written = is_whole(session);
  if (!session->familiar.is_written)
    return;
  const MARIADB_PVIO *pvio = session->mysql->net.pvio;
  session->familiar.replies.length = 0;
  mp_familiar_add(session, pvio->cache_pos, cached(pvio));
}

void mp_familiar_add(mp_session *session, const void *bytes, size_t length) {
  mp_buffer *replies = &session->familiar.replies;
  if (!session->familiar.is_written)
    return;
  if (length <= LONGEST - replies->length)
    mp_buffer_add(replies, bytes, length);
  else
    mp_familiar_free(session);
}

void mp_familiar_end(mp_session *session) {
  MYSQL *mysql = session->mysql;
  if (!session->familiar.is_written)
    return;
  session->familiar.is_written = false;
  session->familiar.status = mysql->server_status;
  session->familiar.warnings = mysql->warning_count;
  session->familiar.charset = mysql->charset;
  if (session->familiar.replies.failed || !is_at_baseline(session))
    mp_familiar_free(session);
}

void mp_familiar_free(mp_session *session) {
  mp_buffer_free(&session->familiar.replies);
  session->familiar.is_written = false;
}
