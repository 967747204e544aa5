/* Asks a new session what its state is, so that a reset can lead back to it. */
#ifndef MYPOOL_MARIADB_BASELINE_H
#define MYPOOL_MARIADB_BASELINE_H

#include "session.h"

mp_status mp_baseline_record(mp_session *session, int64_t deadline_ns, mp_error *err);

/* The same for the part of the state that init SQL may have changed since. */
mp_status mp_baseline_record_state(mp_session *session, int64_t deadline_ns, mp_error *err);

/* Fails when each call that a session is lent for alone would be undone at its end. */
mp_status mp_baseline_check(const mp_session *session, mp_error *err);

/* Fails unless `side` is a connection to the server of that baseline. */
mp_status mp_baseline_same_server(mp_session *side, const baseline *base, int64_t deadline_ns, mp_error *err);

#endif
