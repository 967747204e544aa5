/* Opening a session: in place, or on a helper thread. */
#include <errmsg.h>
#include <stdlib.h>
#include <string.h>

#include "ending.h"
#include "helper.h"

static mp_session *session_new(mariadb_driver *driver) {
  mp_session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->driver = driver;
  mp_ending_join(session);
  session->fork_generation = mp_fork_generation();
  mp_leaving_take(session);
  session->pollset = mp_pollsets_take(driver->pollsets);
  if (!session->pollset) {
    mp_session_close(session);
    return NULL;
  }
  return session;
}

mp_session *mp_serving_new(mp_session *served) {
  mp_session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->driver = served->driver;
  session->fork_generation = served->fork_generation;
  session->password = served->password ? strdup(served->password) : NULL;
  session->leaving.fd = -1;
  session->stop_with = served;
  return session;
}

static int64_t earlier(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* In a program's own thread only: it may be a function of the program's that tells it. */
mp_status mp_session_ask_password(mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  mp_password_free(session);
  session->password = server->password(server->context, err);
  return err->kind == MP_ERR_NONE ? MP_DONE : MP_FAILED;
}

/* On a thread the connect outlives an impatient caller, and serves the next one. */
mp_status mp_session_open(mp_driver *self, int64_t deadline_ns, mp_session **out, mp_error *err) {
  mariadb_driver *driver = (mariadb_driver *)self;
  int64_t limit_ns = mp_clock_ns() + driver->server.connect_timeout_ns;
  *out = NULL;
  if (mp_program_has_ended())
    return mp_fail(err, MP_ERR_CONNECT, 0, "the program is ending");
  *out = session_new(driver);
  if (!*out)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory or descriptors");
  if (mp_session_ask_password(*out, err) != MP_DONE)
    return MP_FAILED;
  if (driver->server.threads)
    return mp_helper_start(*out, mp_session_connect, limit_ns, err);
  return mp_session_connect(*out, earlier(limit_ns, deadline_ns), err);
}
