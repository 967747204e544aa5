/* How libmariadb's resumable calls read the socket. Theirs tries at once, and in vain after a send, for the
   answer takes its time; then it asks to be resumed. Where the program has nothing else to do meanwhile, the
   read may as well wait for the answer: that saves the way back to the program, and a system call. */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "session.h"

static mp_session *session_of(const MARIADB_PVIO *pvio) {
  return (mp_session *)(void *)((char *)pvio->methods - offsetof(mp_session, reading));
}

/* A signal ends the wait as if it had not been begun. */
static ssize_t read_waiting(int fd, uchar *buffer, size_t length) {
  ssize_t got = recv(fd, buffer, length, 0);
  if (got < 0 && errno == EINTR)
    errno = EAGAIN;
  return got;
}

static ssize_t read_socket(MARIADB_PVIO *pvio, uchar *buffer, size_t length) {
  mp_session *session = session_of(pvio);
  bool in_vain = session->expecting;
  session->expecting = false;
  if (session->patient)
    return read_waiting(mysql_get_socket(session->mysql), buffer, length);
  if (!in_vain)
    return session->ordinary->async_read(pvio, buffer, length);
  errno = EAGAIN;
  return -1;
}

/* With a limit, a read that waits is interrupted by every signal, also those that restart other system calls
   (signal(7)): then the call asks to be resumed, and Lua's hooks get their turn. */
static void limit_reads(int fd) {
  struct timeval limit = {.tv_sec = 3600};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

void mp_reading_begin(mp_session *session) {
  MARIADB_PVIO *pvio = session->mysql->net.pvio;
  if (session->driver->server.tls) /* OpenSSL reads */
    return;
  limit_reads(mysql_get_socket(session->mysql));
  session->ordinary = pvio->methods;
  session->reading = *pvio->methods;
  session->reading.async_read = read_socket;
  pvio->methods = &session->reading;
}

void mp_reading_patient(mp_session *session, bool patient) {
  session->patient = patient && session->ordinary && !session->driver->server.threads;
}
