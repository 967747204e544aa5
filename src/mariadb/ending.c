/* The end of the program. OpenSSL and others clean up behind it by functions that are registered with atexit,
   and a helper thread in the middle of a TLS handshake would then use what is freed. The function here is
   registered later than theirs, so that it runs before them. */
#include "ending.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "helper.h"

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER; /* of the list */
static mariadb_driver *drivers;
static atomic_bool ended;

bool mp_program_has_ended(void) {
  return atomic_load(&ended);
}

/* ---- at the end ---- */

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

static void take_leave(mariadb_driver *driver) {
  for (mp_session *session = driver->sessions; session; session = session->next)
    mp_session_take_leave(session);
}

/* All have taken leave before the first is waited for: they are on their way together. */
static void end_program(void) {
  pthread_mutex_lock(&registry);
  atomic_store(&ended, true);
  for (mariadb_driver *driver = drivers; driver; driver = driver->next)
    if (is_of_this_process(driver))
      end_helpers(driver);
  for (mariadb_driver *driver = drivers; driver; driver = driver->next)
    if (is_own(driver))
      take_leave(driver);
  for (mariadb_driver *driver = drivers; driver; driver = driver->next)
    if (is_own(driver))
      mp_leaving_free(driver);
  pthread_mutex_unlock(&registry);
}

/* ---- the list ---- */

static void lock_registry(void) {
  pthread_mutex_lock(&registry);
}

static void unlock_registry(void) {
  pthread_mutex_unlock(&registry);
}

/* There only where libmariadb was built with OpenSSL. libmariadb starts it with the first handshake: too
   late for us, so it registers its own function here. */
extern int OPENSSL_init_crypto(uint64_t options, const void *settings) __attribute__((weak));

void mp_ending_watch(void) {
  if (OPENSSL_init_crypto)
    OPENSSL_init_crypto(0, NULL);
  pthread_atfork(lock_registry, unlock_registry, unlock_registry);
  atexit(end_program);
}

void mp_ending_add(mariadb_driver *driver) {
  pthread_mutex_init(&driver->lock, NULL);
  driver->thread = pthread_self();
  driver->fork_generation = mp_fork_generation();
  pthread_mutex_lock(&registry);
  driver->next = drivers;
  drivers = driver;
  pthread_mutex_unlock(&registry);
}

void mp_ending_remove(mariadb_driver *driver) {
  pthread_mutex_lock(&registry);
  mariadb_driver **link = &drivers;
  while (*link != driver)
    link = &(*link)->next;
  *link = driver->next;
  pthread_mutex_unlock(&registry);
  pthread_mutex_destroy(&driver->lock);
}

void mp_ending_join(mp_session *session) {
  mariadb_driver *driver = session->driver;
  pthread_mutex_lock(&driver->lock);
  session->next = driver->sessions;
  session->link = &driver->sessions;
  if (session->next)
    session->next->link = &session->next;
  driver->sessions = session;
  pthread_mutex_unlock(&driver->lock);
}

void mp_ending_leave(mp_session *session) {
  mariadb_driver *driver = session->driver;
  if (!session->link)
    return;
  pthread_mutex_lock(&driver->lock);
  *session->link = session->next;
  if (session->next)
    session->next->link = session->link;
  session->link = NULL;
  pthread_mutex_unlock(&driver->lock);
}
