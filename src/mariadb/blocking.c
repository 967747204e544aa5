/* Statements run in place while a session connects, and what is left of one that was stopped. */
#include "blocking.h"

#include <string.h>

#include "call.h"
#include "prepared.h"
#include "protocol.h"
#include "query.h"

static bool is_in_result(const mp_session *session) {
  return session->result || mp_prepared_is_in_rows(session);
}

enum { LOOK_AFTER_ROWS = 200 };

mp_status mp_run_fetch(mp_session *session, int64_t deadline_ns, mp_error *err) {
  if (++session->run_rows % LOOK_AFTER_ROWS == 0 && mp_call_look(session, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  return mp_call_run(session, mp_protocol_fetch(session, &session->run_row, err), deadline_ns, err);
}

static mp_status next_result(mp_session *session, bool *more, int64_t deadline_ns, mp_error *err) {
  if (mp_call_run(session, mp_protocol_next_result(session, more, err), deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  return *more ? mp_call_look(session, deadline_ns, err) : MP_DONE;
}

void mp_run_take_row(mp_session *session) {
  session->fetched = &session->run_row;
}

mp_status mp_run_end(mp_session *session, int64_t deadline_ns, mp_error *err) {
  bool more = true;
  while (more) {
    while (is_in_result(session))
      if (mp_run_fetch(session, deadline_ns, err) != MP_DONE)
        return MP_FAILED;
    if (next_result(session, &more, deadline_ns, err) != MP_DONE)
      return MP_FAILED;
  }
  return MP_DONE;
}

static mp_status run_query(mp_session *session, const char *sql, int64_t deadline_ns, mp_error *err) {
  return mp_call_run(session, mp_query_send(session, sql, strlen(sql), false, err), deadline_ns, err);
}

mp_status mp_run(mp_session *session, const char *sql, int64_t deadline_ns, mp_error *err) {
  if (run_query(session, sql, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  return mp_run_end(session, deadline_ns, err);
}

mp_status mp_run_row(mp_session *session, const char *sql, int64_t deadline_ns, mp_error *err) {
  if (run_query(session, sql, deadline_ns, err) != MP_DONE ||
      mp_run_fetch(session, deadline_ns, err) != MP_DONE)
    return MP_FAILED;
  if (!session->result)
    return mp_fail(err, MP_ERR_PROTOCOL, 0, "the server answered without a row");
  return MP_DONE;
}
