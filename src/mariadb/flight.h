/* The flight: all that a reset sends, and the baseline that it leads to. */
#ifndef MYPOOL_MARIADB_FLIGHT_H
#define MYPOOL_MARIADB_FLIGHT_H

#include "session.h"

#define MP_SEAL "the reset ends here" /* column of the last reply */

mp_status mp_flight_build(mp_session *session, mp_error *err);
bool mp_flight_may_take(size_t length); /* a statement of so many bytes */

/* Between these two, statements that succeeded are added: each reset repeats them. */
void mp_flight_record(mp_session *session, bool on);
void mp_flight_add(mp_session *session, const char *sql, size_t length);

const char *mp_flight_read_only(const mp_session *session); /* the variable's name */

/* Whether a server may write, as SQL: from MariaDB 12 on read_only has words for values. And the answer. */
#define MP_FLIGHT_SERVER_READ_ONLY "CONCAT(@@read_only)"
bool mp_flight_is_writable(const char *answer);

/* Once the user's SQL has run, when there was any. */
void mp_flight_after_user_sql(baseline *base, const MYSQL *mysql, bool user_sql);
void mp_flight_free(mp_session *session); /* and the baseline */

static inline bool mp_flight_is_recording(const mp_session *session) {
  return session->flight.recording;
}

#endif
