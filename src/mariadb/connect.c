/* From nothing to a session at its baseline. Blocks until the deadline at most, but for name
   resolution and the TLS handshake, which libmariadb offers in no other form. */
#include "connect.h"

#include <errmsg.h>
#include <stdio.h>
#include <stdlib.h>

#include "addresses.h"
#include "baseline.h"
#include "blocking.h"
#include "close.h"
#include "flight.h"
#include "helper.h"
#include "login.h"
#include "mode.h"
#include "peek.h"
#include "program.h"

/* The stack of resumable calls, once the session is connected: the memory that a smaller one saves holds the
   buffers of the next session (measured: 39 KiB for each idle session instead of 50). */
static const size_t running_stack = 44 * 1024;

static mp_status set_collation(mp_session *session, int64_t deadline_ns, mp_error *err) {
  const mp_server *server = &session->driver->server;
  char sql[256];
  if (!server->collation)
    return MP_DONE;
  snprintf(sql, sizeof sql, "SET NAMES %s COLLATE %s", server->charset, server->collation);
  return mp_run(session, sql, deadline_ns, err);
}

static mp_status run_init_sql(mp_session *session, int64_t deadline_ns, mp_error *err) {
  const mp_server *server = &session->driver->server;
  for (size_t i = 0; i < server->init_sql_count; i++)
    if (mp_run(session, server->init_sql[i], deadline_ns, err) != MP_DONE) {
      mp_error_precede(err, "init_sql, statement %zu: ", i + 1);
      return MP_FAILED;
    }
  return server->init_sql_count > 0 ? mp_baseline_record_state(session, deadline_ns, err) : MP_DONE;
}

/* Whatever goes wrong before the session is ready is a connect error to the caller. */
static mp_status connect_error(mp_error *err) {
  err->kind = MP_ERR_CONNECT;
  err->phase = MP_PHASE_CONNECT;
  return MP_FAILED;
}

/* A Galera node that may not serve accepts connections, and answers this, unlike questions about variables,
   by an error. */
static mp_status check_ready(mp_session *session, int64_t deadline_ns, mp_error *err) {
  const mp_server *server = &session->driver->server;
  bool choosy = server->address_count > 1 || server->need != MP_NEED_NOTHING;
  return choosy ? mp_run(session, "DO 1", deadline_ns, err) : MP_DONE;
}

static mp_status reach_baseline(mp_session *session, int64_t deadline_ns, mp_error *err) {
  if (check_ready(session, deadline_ns, err) == MP_DONE &&
      set_collation(session, deadline_ns, err) == MP_DONE &&
      mp_baseline_record(session, deadline_ns, err) == MP_DONE &&
      run_init_sql(session, deadline_ns, err) == MP_DONE && mp_baseline_check(session, err) == MP_DONE)
    return MP_DONE;
  if (err->code == CR_SSL_CONNECTION_ERROR)
    err->code = CR_SERVER_LOST; /* who has logged in was not refused */
  return MP_FAILED;
}

static mp_status make_session(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_closing_await(session);
  if (mp_addresses_login(session, deadline_ns, err) != MP_DONE)
    return connect_error(err);
  if (!session->driver->server.tls)
    mysql_options(session->mysql, MYSQL_OPT_NONBLOCK, &running_stack);
  if (reach_baseline(session, deadline_ns, err) != MP_DONE)
    return connect_error(err);
  if (mp_session_has_more(session))
    return mp_fail(err, MP_ERR_CONNECT, CR_MALFORMED_PACKET,
                   "more came than the replies that were asked for");
  mp_flight_after_user_sql(&session->base, session->mysql, session->driver->server.init_sql_count > 0);
  mp_mode_start_over(session);
  return mp_flight_build(session, err) == MP_DONE ? MP_DONE : connect_error(err);
}

static mp_status make_session_timed(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_status status = make_session(session, deadline_ns, err);
  session->connect_ended_ns = mp_clock_ns();
  return status;
}

/* What a helper writes is not looked at while it is at work. */
int64_t mp_session_connect_ns(const mp_session *session) {
  int64_t ended_ns = session->helper ? mp_clock_ns() : session->connect_ended_ns;
  return ended_ns > 0 ? ended_ns - session->connect_begun_ns : 0;
}

/* ---- in place or on a helper thread ---- */

static mp_session *session_new(mariadb_driver *driver, unsigned host) {
  mp_session *session = calloc(1, sizeof *session);
  if (!session)
    return NULL;
  session->driver = driver;
  session->host = host;
  session->address = driver->addresses[host];
  mp_program_join(session);
  session->fork_generation = mp_fork_generation();
  mp_closing_take(session);
  session->pollset = mp_pollsets_take(driver->pollsets);
  if (!session->pollset) {
    mp_session_close(session);
    return NULL;
  }
  return session;
}

/* On a thread the connect outlives an impatient caller, and serves the next one. */
mp_status mp_session_open(mp_driver *self, unsigned host, bool beside, int64_t deadline_ns, mp_session **out,
                          mp_error *err) {
  mariadb_driver *driver = (mariadb_driver *)self;
  int64_t now_ns = mp_clock_ns(), limit_ns = now_ns + driver->server.connect_timeout_ns;
  bool on_thread = driver->server.threads || beside;
  *out = NULL;
  if (mp_program_has_ended())
    return mp_fail(err, MP_ERR_CONNECT, 0, "the program is ending");
  *out = session_new(driver, host);
  if (!*out)
    return mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory or descriptors");
  (*out)->connect_begun_ns = now_ns;
  if (mp_login_ask_password(*out, err) != MP_DONE)
    return MP_FAILED;
  (*out)->login.is_cut = !on_thread && deadline_ns < limit_ns;
  if ((*out)->login.is_cut)
    limit_ns = deadline_ns;
  (*out)->login.limit_ns = limit_ns - now_ns;
  return on_thread ? mp_helper_start(*out, make_session_timed, limit_ns, err)
                   : make_session_timed(*out, limit_ns, err);
}
