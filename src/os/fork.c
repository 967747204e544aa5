/* Forks: counted, and kept waiting while a helper thread is at work. */
#include "os/fork.h"

#ifdef __APPLE__
#include <dlfcn.h>
#endif
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "outcome.h"

/* Comparing numbers is cheaper than a getpid() for each operation. */
static unsigned generation;

/* A lock for readers and writers would do, but which of them goes first is not the same everywhere, nor is
   whether a writer can wait for a time. */
static pthread_mutex_t lock;
static pthread_cond_t changed; /* either of these two */
static unsigned working;       /* helper threads that may hold locks; not those that wait for a server */
static bool forking;           /* none begins before that is over */

/* A name server, or a peer in the middle of its TLS handshake, may keep a thread at work for longer:
   then the fork goes ahead. */
static const long longest_wait_ns = 2 * MP_SECOND;

static void init(void) {
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&changed, NULL);
  working = 0;
  forking = false;
}

static void await_helpers(void) {
  struct timespec until;
  int failed = 0;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += longest_wait_ns;
  until.tv_sec += until.tv_nsec / MP_SECOND;
  until.tv_nsec %= MP_SECOND;
  while (working > 0 && !failed)
    failed = pthread_cond_timedwait(&changed, &lock, &until);
}

/* The lock is held until the fork is over: of two threads that fork at once the second waits for the
   first. */
static void before_fork(void) {
  pthread_mutex_lock(&lock);
  while (forking)
    pthread_cond_wait(&changed, &lock);
  forking = true;
  await_helpers();
}

static void in_parent(void) {
  forking = false;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static void in_child(void) {
  init();
  generation++;
}

#ifdef __APPLE__
/* The handlers cannot be taken back, so what they call must stay loaded; elsewhere the linker is told so. */
static void stay_loaded(void) {
  Dl_info self;
  if (dladdr(&generation, &self))
    dlopen(self.dli_fname, RTLD_LAZY | RTLD_NODELETE);
}
#endif

__attribute__((constructor)) static void watch_forks(void) {
  init();
  pthread_atfork(before_fork, in_parent, in_child);
#ifdef __APPLE__
  stay_loaded();
#endif
}

unsigned mp_fork_generation(void) {
  return generation;
}

void mp_fork_forbid(void) {
  pthread_mutex_lock(&lock);
  while (forking)
    pthread_cond_wait(&changed, &lock);
  working++;
  pthread_mutex_unlock(&lock);
}

void mp_fork_allow(void) {
  pthread_mutex_lock(&lock);
  if (--working == 0)
    pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
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
