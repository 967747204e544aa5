/* Encrypted sessions that do not break each other.

   OpenSSL notes the failures of a thread in one queue, and takes what it finds there for the
   outcome of the call just made (SSL_get_error(3)). libmariadb leaves there what ended a session:
   without this, the next one that has to wait for its server would be told that it is lost. So
   the queue is emptied before each call that may read. */
#include "session.h"

/* There only where libmariadb was built with OpenSSL, and then it has been loaded. */
extern void ERR_clear_error(void) __attribute__((weak));

void mp_neighbours_forget(const mp_session *session) {
  if (session->driver->server.tls && ERR_clear_error)
    ERR_clear_error();
}
