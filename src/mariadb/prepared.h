/* Prepared statements of the binary protocol. They are known by number: the session that made
   them may be gone when the number is used. */
#ifndef MYPOOL_MARIADB_PREPARED_H
#define MYPOOL_MARIADB_PREPARED_H

#include "session.h"

mp_status mp_prepared_prepare(mp_session *session, const char *sql, size_t length, mp_error *err);
uint64_t mp_prepared_last(const mp_session *session);
int mp_prepared_parameters(const mp_session *session, uint64_t id);
mp_status mp_prepared_execute(mp_session *session, uint64_t id, const mp_value *values, size_t rows,
                              mp_error *err);
mp_status mp_prepared_fetch(mp_session *session, mp_row *row, mp_error *err);
mp_status mp_prepared_next_result(mp_session *session, bool *more, mp_error *err);
void mp_prepared_summary(const mp_session *session, mp_summary *summary);
const MYSQL_FIELD *mp_prepared_field(const mp_session *session, unsigned index);
void mp_prepared_close(mp_session *session, uint64_t id);
void mp_prepared_end(mp_session *session); /* of all, with the loan */

/* A statement is executed: its results have not been read to their end; and it is in the rows of one of
   them. */
static inline bool mp_prepared_is_executing(const mp_session *session) {
  return session->prepared.executing != NULL;
}

static inline bool mp_prepared_is_in_rows(const mp_session *session) {
  return session->prepared.executing && session->prepared.in_rows;
}

#endif
