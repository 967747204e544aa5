/* Helper threads: name resolution, authentication and the TLS handshake block, as does stopping
   a statement, and would stop a program's scheduler. */
#include "helper.h"

#include <errmsg.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/socket.h"
#include "program.h"

/* The stages of the thread, by whether something can interrupt it. */
enum {
  AT_WORK,
  UNINTERRUPTIBLE,
  LEFT_ALONE, /* its session is closed, and the helper its own */
  HALTED      /* for ever: the program has ended meanwhile */
};

/* For so long the end of a session waits for a thread that cannot be interrupted. */
static const int patience_ms = 100;

/* Between the two threads. Until `finished` the session belongs to the helper. */
struct helper {
  pthread_t thread;
  mp_helper_work work;
  int64_t deadline_ns;
  mp_wakeup finished_wakeup, stop_wakeup;
  pthread_mutex_t lock; /* of the socket */
  int socket;           /* a second descriptor of what the work is connecting; -1: none */
  atomic_int stage;
  atomic_bool finished;
  bool joined; /* at the end of the program */
  mp_status status;
  mp_error error;
};

static void *run(void *argument) {
  mp_session *session = argument;
  struct helper *helper = session->helper;
  mp_fork_forbid();
  helper->status = helper->work(session, helper->deadline_ns, &helper->error);
  mp_fork_allow_at_end();
  atomic_store(&helper->finished, true);
  mp_wakeup_notify(helper->finished_wakeup); /* what mp_wakeups_notify looks at is the other thread's */
  return NULL;
}

/* Signals are the program's: none is handled on the helper. */
static int start_thread(mp_session *session) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&session->helper->thread, NULL, run, session);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed;
}

/* The wake-ups and the lock of the driver are for the thread of its pool. A connection that serves another
   session may have a helper that was begun by a helper; nobody but the two knows of it. */

static void lock(const mp_session *session) {
  if (!session->stop_with)
    pthread_mutex_lock(&session->driver->lock);
}

static void unlock(const mp_session *session) {
  if (!session->stop_with)
    pthread_mutex_unlock(&session->driver->lock);
}

static mp_wakeup take_wakeup(const mp_session *session) {
  return session->stop_with ? mp_wakeup_open() : mp_wakeups_take(session->driver->wakeups);
}

static void give_wakeup(const mp_session *session, mp_wakeup wakeup) {
  if (wakeup.fd >= 0 && session->stop_with)
    mp_wakeup_close(wakeup);
  else if (wakeup.fd >= 0)
    mp_wakeups_give(session->driver->wakeups, wakeup.fd);
}

static void helper_free(struct helper *helper) {
  if (helper->socket >= 0)
    close(helper->socket);
  pthread_mutex_destroy(&helper->lock);
  free(helper);
}

/* Under the lock. */
static void free_helper(mp_session *session) {
  struct helper *helper = session->helper;
  give_wakeup(session, helper->finished_wakeup);
  give_wakeup(session, helper->stop_wakeup);
  helper_free(helper);
  session->helper = NULL;
}

/* Under the lock: the end of the program has either seen the helper, or been seen here. */
static bool begin(mp_session *session) {
  struct helper *helper = session->helper;
  return helper->finished_wakeup.fd >= 0 && helper->stop_wakeup.fd >= 0 && !mp_program_has_ended() &&
         start_thread(session) == 0;
}

mp_status mp_helper_start(mp_session *session, mp_helper_work work, int64_t deadline_ns, mp_error *err) {
  struct helper *helper = calloc(1, sizeof *helper);
  if (!helper)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  pthread_mutex_init(&helper->lock, NULL);
  helper->socket = -1;
  helper->work = work;
  helper->deadline_ns = deadline_ns;
  helper->finished_wakeup = take_wakeup(session);
  helper->stop_wakeup = take_wakeup(session);
  lock(session);
  session->helper = helper;
  bool begun = begin(session);
  if (!begun)
    free_helper(session);
  unlock(session);
  if (!begun)
    return mp_fail(err, MP_ERR_CONNECT, 0, "no descriptor or thread left to connect with");
  return MP_WAIT;
}

/* Clears the wake-up while the work goes on; the end of the work notifies after it has said so. */
static bool has_finished(mp_session *session) {
  struct helper *helper = session->helper;
  if (!atomic_load(&helper->finished))
    mp_wakeup_clear(helper->finished_wakeup);
  return atomic_load(&helper->finished);
}

/* A thread that has halted cannot be joined: the process is about to end under it. */
static void join(struct helper *helper) {
  if (!helper->joined && atomic_load(&helper->stage) != HALTED)
    pthread_join(helper->thread, NULL);
}

mp_status mp_helper_step(mp_session *session, mp_error *err) {
  struct helper *helper = session->helper;
  if (!has_finished(session))
    return MP_WAIT;
  lock(session);
  join(helper);
  mp_status status = helper->status;
  if (status == MP_FAILED)
    *err = helper->error;
  free_helper(session);
  unlock(session);
  return status;
}

static struct helper *helper_of(const mp_session *session) {
  return session->helper || !session->stop_with ? session->helper : session->stop_with->helper;
}

/* Keeps a descriptor of our own: libmariadb may close its one at any time, and the kernel give its number to
   another file. */
void mp_helper_watch(mp_session *session) {
  struct helper *helper = helper_of(session);
  if (!helper)
    return;
  pthread_mutex_lock(&helper->lock);
  if (helper->socket >= 0)
    close(helper->socket);
  helper->socket = mp_socket_duplicate(mysql_get_socket(session->mysql));
  pthread_mutex_unlock(&helper->lock);
}

/* A TLS handshake does not look at stop_wakeup. The wake-up is of this process: it was taken for the
   helper. */
static void tell_to_stop(struct helper *helper) {
  mp_wakeup_notify(helper->stop_wakeup);
  pthread_mutex_lock(&helper->lock);
  if (helper->socket >= 0)
    shutdown(helper->socket, SHUT_RDWR);
  pthread_mutex_unlock(&helper->lock);
}

/* True when the thread is at what nothing can interrupt, and the helper its own from now on. */
static bool leave_alone(mp_session *session) {
  struct helper *helper = session->helper;
  pthread_t thread = helper->thread;
  mp_wakeup finished = helper->finished_wakeup, stop_wakeup = helper->stop_wakeup;
  struct pollfd end = {.fd = helper->finished_wakeup.fd, .events = POLLIN};
  int uninterruptible = UNINTERRUPTIBLE;
  if (atomic_load(&helper->stage) != UNINTERRUPTIBLE || poll(&end, 1, patience_ms) != 0 ||
      !atomic_compare_exchange_strong(&helper->stage, &uninterruptible, LEFT_ALONE))
    return false;
  pthread_detach(thread);
  give_wakeup(session, finished);
  give_wakeup(session, stop_wakeup);
  session->helper = NULL;
  return true;
}

static void stop(mp_session *session) {
  if (session->fork_generation == mp_fork_generation()) {
    tell_to_stop(session->helper);
    if (leave_alone(session))
      return;
    join(session->helper);
  }
  free_helper(session);
}

/* In a forked child the thread does not exist. */
void mp_helper_stop(mp_session *session) {
  lock(session);
  stop(session);
  unlock(session);
}

/* ---- the end of the program ---- */

void mp_helper_end(mp_session *session) {
  struct helper *helper = session->helper;
  int uninterruptible = UNINTERRUPTIBLE;
  if (!helper || session->fork_generation != mp_fork_generation())
    return;
  tell_to_stop(helper);
  if (atomic_compare_exchange_strong(&helper->stage, &uninterruptible, HALTED))
    return;
  join(helper);
  helper->joined = true;
}

static bool become_interruptible(struct helper *helper) {
  int uninterruptible = UNINTERRUPTIBLE;
  return atomic_compare_exchange_strong(&helper->stage, &uninterruptible, AT_WORK);
}

static void halt(void) {
  for (;;)
    pause();
}

/* Of the thread, whose session is gone. OpenSSL has not been used on it, and need not clean up behind it. */
static void end_alone(struct helper *helper) {
  if (mp_program_has_ended())
    halt();
  helper_free(helper);
  mp_fork_allow_at_end();
  pthread_exit(NULL);
}

/* Either whoever ends the session or the program finds the thread in here, or the thread finds that they
 * have. */
bool mp_helper_call(const mp_session *session, void (*function)(void *), void (*drop)(void *),
                    void *argument) {
  struct helper *helper = helper_of(session);
  if (helper)
    atomic_store(&helper->stage, UNINTERRUPTIBLE);
  bool may_call = !helper || !mp_program_has_ended();
  if (may_call)
    function(argument);
  if (!helper || become_interruptible(helper))
    return may_call;
  if (atomic_load(&helper->stage) == HALTED)
    halt();
  drop(argument);
  end_alone(helper);
  return false;
}

void mp_helper_wake(mp_session *session) {
  if (session->helper)
    mp_wakeups_notify(session->driver->wakeups, session->helper->finished_wakeup.fd);
}

int mp_helper_fd(const mp_session *session) {
  return session->helper->finished_wakeup.fd;
}

int mp_helper_stop_fd(const mp_session *session) {
  struct helper *helper = helper_of(session);
  return helper ? helper->stop_wakeup.fd : -1;
}
