/* A helper thread, for what blocks: it works on a session that nobody else touches meanwhile,
   and ends by making an fd readable. */
#ifndef MYPOOL_MARIADB_HELPER_H
#define MYPOOL_MARIADB_HELPER_H

#include "session.h"

typedef mp_status (*mp_helper_work)(mp_session *session, int64_t deadline_ns, mp_error *err);

/* Begins `work`. Returns MP_WAIT, or MP_FAILED when there is no thread or descriptor left. */
mp_status mp_helper_start(mp_session *session, mp_helper_work work, int64_t deadline_ns, mp_error *err);

/* MP_WAIT until the work is done, then what it returned: the session is the caller's again. */
mp_status mp_helper_step(mp_session *session, mp_error *err);

/* For the work: names the socket of this session, which may be in use by a call that blocks. */
void mp_helper_watch(mp_session *session);

/* Tells the work to stop, and waits until it has. */
void mp_helper_stop(mp_session *session);

/* The same at the end of the program, under the lock of the driver. The helper stays to be freed. */
void mp_helper_end(mp_session *session);

/* For the work: between these two it does what nothing can interrupt, and what may be left as it is when
   the program ends. False when the program has ended: it is not to be done then. */
bool mp_helper_enter_uninterruptible(const mp_session *session);
void mp_helper_leave_uninterruptible(const mp_session *session);

int mp_helper_fd(const mp_session *session);      /* readable when the work is done ... */
void mp_helper_wake(mp_session *session);         /* ... and now, until the next step */
int mp_helper_stop_fd(const mp_session *session); /* readable when it is to stop; -1: no helper */

#endif
