/* The result of the last statement, by whichever protocol it was sent. */
#include "protocol.h"

#include "call.h"
#include "column.h"
#include "prepared.h"
#include "query.h"

static mp_status fail_foreign(mp_error *err) {
  return mp_call_fail_foreign(MP_PHASE_RESULT, err);
}

mp_status mp_protocol_fetch(mp_session *session, mp_row *row, mp_error *err) {
  if (mp_call_is_foreign(session))
    return fail_foreign(err);
  return mp_prepared_is_executing(session) ? mp_prepared_fetch(session, row, err)
                                           : mp_query_fetch(session, row, err);
}

mp_status mp_protocol_next_result(mp_session *session, bool *more, mp_error *err) {
  if (mp_call_is_foreign(session))
    return fail_foreign(err);
  return mp_prepared_is_executing(session) ? mp_prepared_next_result(session, more, err)
                                           : mp_query_next_result(session, more, err);
}

void mp_protocol_summary(const mp_session *session, mp_summary *summary) {
  if (session->executed)
    mp_prepared_summary(session, summary);
  else
    mp_query_summary(session, summary);
}

mp_column mp_protocol_column(const mp_session *session, unsigned index) {
  return mp_column_of(mp_prepared_is_executing(session) ? mp_prepared_field(session, index)
                                                        : mysql_fetch_field_direct(session->result, index));
}
