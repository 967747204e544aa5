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

/* Tells the work to stop, and waits until it has; not for what nothing can interrupt: a thread that is at
   that is left alone, and ends behind it. The session is the caller's again, to be closed. */
void mp_helper_stop(mp_session *session);

/* The same at the end of the program, under the lock of the driver. The helper stays to be freed. */
void mp_helper_end(mp_session *session);

/* For the work: calls function(argument), which nothing can interrupt. It uses `argument` alone, as the
   session may be closed meanwhile, and the program end: then this does not come back, and `drop` frees the
   argument. False when the program has ended before: the function was not called. */
bool mp_helper_call(const mp_session *session, void (*function)(void *), void (*drop)(void *),
                    void *argument);

int mp_helper_fd(const mp_session *session);      /* readable when the work is done ... */
void mp_helper_wake(mp_session *session);         /* ... and now, until the next step */
int mp_helper_stop_fd(const mp_session *session); /* readable when it is to stop; -1: no helper */

#endif
