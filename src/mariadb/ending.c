/* The end of the program. OpenSSL and others clean up behind it by functions that are registered with atexit,
   and a helper thread in the middle of a TLS handshake would then use what is freed. The function here is
   registered later than theirs, so that it runs before them. */
#include "ending.h"

#include "close.h"
#include "helper.h"
#include "program.h"

static bool is_own(const mariadb_driver *driver) {
  return pthread_equal(driver->thread, pthread_self());
}

/* In a forked child the other threads of its parent do not exist, and their locks may be held for ever. */
static bool is_of_this_process(const mariadb_driver *driver) {
  return is_own(driver) || driver->fork_generation == mp_fork_generation();
}

static void end_helpers(mariadb_driver *driver) {
  pthread_mutex_lock(&driver->lock);
  for (mp_session *session = driver->sessions; session; session = session->next)
    mp_helper_end(session);
  pthread_mutex_unlock(&driver->lock);
}

static void quit_all(mariadb_driver *driver) {
  for (mp_session *session = driver->sessions; session; session = session->next)
    mp_session_quit(session);
}

/* All sessions say farewell before the first is waited for: so the farewells are on their way together. */
static void end_all(mariadb_driver *first) {
  for (mariadb_driver *driver = first; driver; driver = driver->next)
    if (is_of_this_process(driver))
      end_helpers(driver);
  for (mariadb_driver *driver = first; driver; driver = driver->next)
    if (is_own(driver))
      quit_all(driver);
  for (mariadb_driver *driver = first; driver; driver = driver->next)
    if (is_own(driver))
      mp_closing_free(driver);
}

/* libcrypto is there only where libmariadb was built with OpenSSL. libmariadb starts it with the first
   handshake: too late for us, so OpenSSL registers its function for the end of the program here. */
extern int OPENSSL_init_crypto(uint64_t options, const void *settings) __attribute__((weak));

void mp_ending_watch(void) {
  if (OPENSSL_init_crypto)
    OPENSSL_init_crypto(0, NULL);
  mp_program_watch(end_all);
}
