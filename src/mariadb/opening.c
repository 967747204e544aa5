/* Opening a session: in place, or on a helper thread, since name resolution, authentication
   and the TLS handshake block and would stop a program's scheduler. */
#include <errmsg.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "session.h"

/* Between the two threads. Until `finished` the session belongs to the helper. */
struct connector {
  pthread_t thread;
  int64_t deadline_ns;
  int finished_fd, stop_fd; /* bells */
  atomic_bool finished;
  mp_status status;
  mp_error error;
};

static void *connect_on_thread(void *argument) {
  mp_session *session = argument;
  struct connector *connector = session->connector;
  connector->status = mp_session_connect(session, connector->deadline_ns, &connector->error);
  atomic_store(&connector->finished, true);
  mp_bell_ring(&session->driver->face, connector->finished_fd);
  return NULL;
}

/* Signals are the program's: none is handled on the helper. */
static int start_thread(mp_session *session) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&session->connector->thread, NULL, connect_on_thread, session);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed;
}

static void free_connector(mp_session *session) {
  mp_driver *driver = &session->driver->face;
  struct connector *connector = session->connector;
  if (connector->finished_fd >= 0)
    mp_bell_give(driver, connector->finished_fd);
  if (connector->stop_fd >= 0)
    mp_bell_give(driver, connector->stop_fd);
  free(connector);
  session->connector = NULL;
}

static mp_status open_on_thread(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_driver *driver = &session->driver->face;
  struct connector *connector = calloc(1, sizeof *connector);
  if (!connector)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  session->connector = connector;
  connector->deadline_ns = deadline_ns;
  connector->finished_fd = mp_bell_take(driver);
  connector->stop_fd = mp_bell_take(driver);
  if (connector->finished_fd < 0 || connector->stop_fd < 0 || start_thread(session) != 0) {
    free_connector(session);
    return mp_fail(err, MP_ERR_CONNECT, 0, "no descriptor or thread left to connect with");
  }
  return MP_WAIT;
}

mp_status mp_opening_step(mp_session *session, mp_error *err) {
  struct connector *connector = session->connector;
  if (!atomic_load(&connector->finished))
    return MP_WAIT;
  pthread_join(connector->thread, NULL);
  mp_status status = connector->status;
  if (status == MP_FAILED)
    *err = connector->error;
  free_connector(session);
  return status;
}

/* In a forked child the helper does not exist. */
void mp_opening_end(mp_session *session) {
  if (session->fork_generation == mp_fork_generation()) {
    mp_bell_ring(&session->driver->face, session->connector->stop_fd);
    pthread_join(session->connector->thread, NULL);
  }
  free_connector(session);
}

int mp_opening_fd(const mp_session *session) {
  return session->connector->finished_fd;
}

int mp_opening_stop_fd(const mp_session *session) {
  return session->connector ? session->connector->stop_fd : -1;
}

static mp_session *session_new(mariadb_driver *driver) {
  mp_session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->driver = driver;
  session->fork_generation = mp_fork_generation();
  session->port = mp_port_take(driver);
  if (!session->port) {
    mp_session_close(session);
    return NULL;
  }
  return session;
}

static int64_t earlier(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* On a thread the connect outlives an impatient caller, and serves the next one. */
mp_status mp_session_open(mp_driver *self, int64_t deadline_ns, mp_session **out, mp_error *err) {
  mariadb_driver *driver = (mariadb_driver *)self;
  int64_t limit_ns = mp_clock_ns() + driver->server.connect_timeout_ns;
  *out = session_new(driver);
  if (!*out)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory or descriptors");
  (*out)->password = driver->server.password(driver->server.password_context, err);
  if (err->kind != MP_ERR_NONE) {
    err->phase = MP_PHASE_CONNECT;
    return MP_FAILED;
  }
  if (driver->server.threads)
    return open_on_thread(*out, limit_ns, err);
  return mp_session_connect(*out, earlier(limit_ns, deadline_ns), err);
}
