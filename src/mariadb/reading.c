/* How libmariadb's resumable calls read the socket. Theirs tries at once, and in vain after a send, for the
   answer takes its time; then it asks to be resumed. Where the program has nothing else to do meanwhile, the
   read may as well wait for the answer: that saves the way back to the program. It waits by poll, not in
   recv, which was measured to cost more, client and server on one core: 22 microseconds for a query,
   not 19.6. */
#include <errno.h>
#include <stddef.h>

#include "session.h"

static mp_session *session_of(const MARIADB_PVIO *pvio) {
  return (mp_session *)(void *)((char *)pvio->methods - offsetof(mp_session, reading));
}

/* From 3.4.10 on the library's sockets never block (its issue CONC-828): its one function for reading waits
   by itself where it must, and takes a failure for the end, so that no read can be said to be in vain. A
   library on the other side of that change than the headers has other functions in these places: it keeps
   them all. */
#define ALWAYS_NONBLOCKING 30410

static bool has_the_layout_of_its_headers(void) {
  return (mysql_get_client_version() < ALWAYS_NONBLOCKING) ==
         (MARIADB_PACKAGE_VERSION_ID < ALWAYS_NONBLOCKING);
}

/* True: there is nothing to read. */
static bool wait_patiently(mp_session *session) {
  return session->patient_until_ns > 0 && !mp_task_poll(session, MYSQL_WAIT_READ, session->patient_until_ns);
}

#if MARIADB_PACKAGE_VERSION_ID < ALWAYS_NONBLOCKING
static ssize_t read_socket(MARIADB_PVIO *pvio, uchar *buffer, size_t length) {
  mp_session *session = session_of(pvio);
  bool in_vain = session->expecting;
  session->expecting = false;
  if (session->patient_until_ns > 0)
    in_vain = wait_patiently(session);
  if (!in_vain)
    return session->ordinary->async_read(pvio, buffer, length);
  errno = EAGAIN;
  return -1;
}

static void use_own_read(mp_session *session) {
  session->reading.async_read = read_socket;
}
#else
static ssize_t read_socket(MARIADB_PVIO *pvio, uchar *buffer, size_t length) {
  mp_session *session = session_of(pvio);
  wait_patiently(session);
  return session->ordinary->read(pvio, buffer, length);
}

static void use_own_read(mp_session *session) {
  session->reading.read = read_socket;
}
#endif

void mp_reading_begin(mp_session *session) {
  MARIADB_PVIO *pvio = session->mysql->net.pvio;
  if (session->driver->server.tls || !has_the_layout_of_its_headers()) /* or OpenSSL reads */
    return;
  session->ordinary = pvio->methods;
  session->reading = *pvio->methods;
  use_own_read(session);
  pvio->methods = &session->reading;
}

void mp_reading_end(mp_session *session) {
  if (session->ordinary)
    session->mysql->net.pvio->methods = session->ordinary;
}

void mp_reading_patient(mp_session *session, int64_t until_ns) {
  session->patient_until_ns = session->ordinary && !session->driver->server.threads ? until_ns : 0;
}
