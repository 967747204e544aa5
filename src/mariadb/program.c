/* The drivers and sessions of this process, as the end of the program has to know them. */
#include "program.h"

#include <stdatomic.h>
#include <stdlib.h>

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER; /* of the list */
static mariadb_driver *drivers;
static atomic_bool ended;
static void (*at_end)(mariadb_driver *);

bool mp_program_has_ended(void) {
  return atomic_load(&ended);
}

static void end_program(void) {
  pthread_mutex_lock(&registry);
  atomic_store(&ended, true);
  at_end(drivers);
  pthread_mutex_unlock(&registry);
}

static void lock_registry(void) {
  pthread_mutex_lock(&registry);
}

static void unlock_registry(void) {
  pthread_mutex_unlock(&registry);
}

void mp_program_watch(void (*end)(mariadb_driver *first)) {
  at_end = end;
  pthread_atfork(lock_registry, unlock_registry, unlock_registry);
  atexit(end_program);
}

void mp_program_add(mariadb_driver *driver) {
  pthread_mutex_init(&driver->lock, NULL);
  driver->thread = pthread_self();
  driver->fork_generation = mp_fork_generation();
  pthread_mutex_lock(&registry);
  driver->next = drivers;
  drivers = driver;
  pthread_mutex_unlock(&registry);
}

void mp_program_remove(mariadb_driver *driver) {
  pthread_mutex_lock(&registry);
  mariadb_driver **link = &drivers;
  while (*link != driver)
    link = &(*link)->next;
  *link = driver->next;
  pthread_mutex_unlock(&registry);
  pthread_mutex_destroy(&driver->lock);
}

void mp_program_join(mp_session *session) {
  mariadb_driver *driver = session->driver;
  pthread_mutex_lock(&driver->lock);
  session->next = driver->sessions;
  session->link = &driver->sessions;
  if (session->next)
    session->next->link = &session->next;
  driver->sessions = session;
  pthread_mutex_unlock(&driver->lock);
}

void mp_program_leave(mp_session *session) {
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
