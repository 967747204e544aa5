/* Runs libmariadb's resumable calls. One is in progress at a time: `cont` of the session resumes it, `done`
   takes its outcome and may begin the next. */
#ifndef MYPOOL_MARIADB_CALL_H
#define MYPOOL_MARIADB_CALL_H

#include "session.h"

/* Takes what a _start or _cont function returned: wait for `events`, or go on. */
mp_status mp_call_settle(mp_session *session, int events, mp_error *err);
mp_status mp_call_step(mp_session *session, mp_error *err);

/* Waits in place. True: one of the events has come; false: time is up. */
bool mp_call_poll(const mp_session *session, int events, int64_t deadline_ns);
bool mp_call_wait_here(mp_session *session, int64_t deadline_ns); /* see driver.h */

/* Brings what returned `status` to its end without leaving. */
mp_status mp_call_run(mp_session *session, mp_status status, int64_t deadline_ns, mp_error *err);

/* For loops over what the server sends without end: fails when time is up, or the session no longer wanted.
 */
mp_status mp_call_look(mp_session *session, int64_t deadline_ns, mp_error *err);

/* What libmariadb has read ahead and nobody has asked for yet: anything, a whole packet, a whole row. */
bool mp_call_has_cached(const mp_session *session);
bool mp_call_has_packet(const mp_session *session);
bool mp_call_has_row(const mp_session *session);

/* How the socket is read: by this file from the connect on, until another session gets the connection. */
void mp_call_take_reads(mp_session *session);
void mp_call_give_reads(mp_session *session);
void mp_call_may_block_until(mp_session *session, int64_t until_ns);

/* Whether the connection belongs to the parent process: then nothing may be read or written. */
bool mp_call_is_foreign(const mp_session *session);
mp_status mp_call_fail_foreign(mp_phase phase, mp_error *err);

/* Fails with what libmariadb says, or with a code and words like its own. */
mp_status mp_mysql_fail(mp_session *session, mp_phase phase, mp_error *err);
mp_status mp_say(unsigned code, const char *message, const char *sqlstate, mp_phase phase, mp_error *err);

#endif
