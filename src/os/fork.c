/* Forks: counted, and kept waiting while a helper thread is at work. */
#include "os/fork.h"

#include <pthread.h>
#include <time.h>

#include "outcome.h"

/* Comparing numbers is cheaper than a getpid() for each operation. */
static unsigned generation;

/* Shared by the helper threads while they work, and free of those that wait for a server. */
static pthread_rwlock_t working;

/* A name server, or a peer in the middle of its TLS handshake, may keep a thread at work for longer:
   then the fork goes ahead. */
static const long longest_wait_ns = 2 * MP_SECOND;

static void init_lock(void) {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&working, &attributes);
  pthread_rwlockattr_destroy(&attributes);
}

static bool locked; /* by the thread that forks; of use between the handlers only */

static void before_fork(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += longest_wait_ns;
  until.tv_sec += until.tv_nsec / MP_SECOND;
  until.tv_nsec %= MP_SECOND;
  locked = pthread_rwlock_timedwrlock(&working, &until) == 0;
}

static void in_parent(void) {
  if (locked)
    pthread_rwlock_unlock(&working);
}

static void in_child(void) {
  init_lock();
  generation++;
}

__attribute__((constructor)) static void watch_forks(void) {
  init_lock();
  pthread_atfork(before_fork, in_parent, in_child);
}

unsigned mp_fork_generation(void) {
  return generation;
}

void mp_fork_forbid(void) {
  pthread_rwlock_rdlock(&working);
}

void mp_fork_allow(void) {
  pthread_rwlock_unlock(&working);
}

static pthread_key_t at_end;

static void allow_at_end(void *unused) {
  (void)unused;
  mp_fork_allow();
}

static void make_key(void) {
  pthread_key_create(&at_end, allow_at_end);
}

/* OpenSSL, too, cleans up behind a thread that ends, by a key that is older than this one: the C
   library takes them in their order. */
void mp_fork_allow_at_end(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_key);
  pthread_setspecific(at_end, &at_end);
}
