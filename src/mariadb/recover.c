/* Recovering a session whose caller's time is up: its statement is stopped on the server
   through a second connection, its replies are read, and it is reset. Until that is over nobody
   else can get the session, so a late KILL cannot hit another borrower's statement. One that is not
   proven to be the session's is left alone. */
#include "recover.h"

#include <errmsg.h>

#include "blocking.h"
#include "call.h"
#include "close.h"
#include "flight.h"
#include "helper.h"
#include "login.h"
#include "peek.h"
#include "prepared.h"
#include "reset.h"
#include "side.h"

/* How long a statement may take to stop before it is told once more. */
static const int64_t kill_again_after_ns = 200 * MP_MILLISECOND;

/* The answer to a KILL may take the server two seconds, when the statement holds a lock at that moment
   (measured with SLEEP): what it does to the statement counts. */
static mp_status kill_statement(mp_session *session, int64_t deadline_ns, mp_error *err) {
  char kill[KILL_SIZE];
  mp_error ignored = {0};
  mp_session *side = mp_side_open(session, deadline_ns, err);
  if (!side)
    return MP_FAILED;
  mp_status status = mp_side_find(side, session, deadline_ns, kill, err);
  if (status == MP_DONE && *kill)
    mp_run(side, kill, deadline_ns, &ignored);
  mp_session_close(side);
  return status;
}

static bool has_results(const mp_session *session) {
  return session->result || mp_prepared_is_executing(session) || mysql_more_results(session->mysql);
}

/* The end of the statement is an error as a rule; what counts is that it is over. */
static mp_status read_the_rest(mp_session *session, int64_t deadline_ns) {
  mp_error ignored = {0};
  if (mp_call_is_in_progress(session))
    mp_call_run(session, MP_WAIT, deadline_ns, &ignored);
  if (!mp_call_is_in_progress(session) && has_results(session))
    mp_run_end(session, deadline_ns, &ignored);
  bool over = mp_session_is_at_rest(session) || mp_session_is_being_reset(session);
  return over && session->mysql->net.pvio ? MP_DONE : MP_FAILED;
}

static bool is_unfinished(const mp_session *session) {
  return session->mysql->net.pvio && (mp_call_is_in_progress(session) || has_results(session));
}

/* A KILL that came before the server had begun with the statement found nothing to stop. */
static mp_status stop(mp_session *session, int64_t deadline_ns, mp_error *err) {
  do {
    if (kill_statement(session, deadline_ns, err) != MP_DONE)
      return MP_FAILED;
    int64_t again_ns = mp_clock_ns() + kill_again_after_ns;
    if (read_the_rest(session, again_ns < deadline_ns ? again_ns : deadline_ns) == MP_DONE)
      return MP_DONE;
  } while (is_unfinished(session) && mp_clock_ns() < deadline_ns);
  return mp_fail(err, MP_ERR_LOST, CR_SERVER_LOST, "the statement could not be stopped");
}

/* A reset may have been sent with the statement. A KILL QUERY that came too late waits for the next
   statement: give it one. */
static mp_status come_to_rest(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_error ignored = {0};
  if (mp_call_run(session, mp_reset_read(session, err), deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  mp_run(session, "DO 0", deadline_ns, &ignored);
  if (mp_session_is_at_rest(session) && session->mysql->net.pvio)
    return MP_DONE;
  return mp_fail(err, MP_ERR_LOST, CR_SERVER_LOST, "the statement could not be stopped");
}

static mp_status make_new(mp_session *session, int64_t deadline_ns, mp_error *err) {
  if (stop(session, deadline_ns, err) != MP_DONE || come_to_rest(session, deadline_ns, err) != MP_DONE ||
      mp_reset_send(session, err) == MP_FAILED)
    return MP_FAILED;
  return mp_call_run(session, mp_reset_read(session, err), deadline_ns, err);
}

/* Nobody may look at the session for long: without its socket the server ends it, with its transaction and
   its locks. */
static mp_status recover(mp_session *session, int64_t deadline_ns, mp_error *err) {
  mp_status status = make_new(session, deadline_ns, err);
  if (status != MP_DONE)
    mp_session_abort(session);
  return status;
}

/* The statement is still read where the caller keeps it, who is about to free it: until it is sent, and while
   it is recorded. */
static bool needs_statement(const mp_session *session) {
  return mp_flight_is_recording(session) || mp_call_needs_to_write(session);
}

/* A server that does not answer must leave time to those who wait for the slot. */
mp_status mp_session_recover(mp_session *session, mp_error *err) {
  if (session->fork_generation != mp_fork_generation())
    return mp_fail(err, MP_ERR_LOST, CR_SERVER_GONE_ERROR, "the connection belongs to the parent process");
  if (needs_statement(session))
    return mp_fail(err, MP_ERR_LOST, CR_SERVER_LOST, "the statement is still needed");
  if (mp_login_ask_password(session, err) != MP_DONE)
    return MP_FAILED;
  mp_call_may_block_until(session, 0);
  mp_run_take_row(session);
  int64_t limit_ns = mp_clock_ns() + session->driver->server.connect_timeout_ns / 2;
  return mp_helper_start(session, recover, limit_ns, err);
}
