/* Runs libmariadb's resumable calls, one after the other. What follows a call is a function of the session,
   `after`: it looks at the outcome and ends the operation, or names the next call and returns MP_WAIT. It
   does not make the call: so the depth is constant, however many follow each other. */
#ifndef MYPOOL_MARIADB_CALL_H
#define MYPOOL_MARIADB_CALL_H

#include "session.h"

typedef mp_status mp_call_after(mp_session *session, mp_error *err);

/* The calls of the text protocol; a send is of session->text. */
extern const mp_call_kind mp_call_send, mp_call_reply, mp_call_row, mp_call_next_result, mp_call_ping;

/* Names the call that is to be made next, once one of the events has come, 0: at once. Returns MP_WAIT. */
static inline mp_status mp_call_next_when(mp_session *session, int events, const mp_call_kind *kind,
                                          mp_call_after *after) {
  session->call.kind = kind;
  session->call.is_made = false;
  session->call.after = after;
  session->call.events = events;
  return MP_WAIT;
}

static inline mp_status mp_call_next(mp_session *session, const mp_call_kind *kind, mp_call_after *after) {
  return mp_call_next_when(session, 0, kind, after);
}

/* For whoever begins an operation: with MP_WAIT, makes the call that was named, and all that follow it as
   long as nothing is to be waited for. Returns how the operation ended, or MP_WAIT. */
mp_status mp_call_go_on(mp_session *session, mp_status status, mp_error *err);

/* Begins an operation with this call. */
static inline mp_status mp_call_begin(mp_session *session, const mp_call_kind *kind, mp_call_after *after,
                                      mp_error *err) {
  return mp_call_go_on(session, mp_call_next(session, kind, after), err);
}

/* Goes on after MP_WAIT. */
mp_status mp_call_step(mp_session *session, mp_error *err);

static inline bool mp_call_is_in_progress(const mp_session *session) {
  return session->call.kind != NULL;
}

/* The call in progress still has to write: what it writes must stay. */
static inline bool mp_call_needs_to_write(const mp_session *session) {
  return session->call.kind && (session->call.events & MYSQL_WAIT_WRITE);
}

int mp_call_wait_fd(mp_session *session); /* what to wait for */

/* Waits in place. True: one of the events has come; false: time is up. */
bool mp_call_poll(const mp_session *session, int events, int64_t deadline_ns);
bool mp_call_wait_here(mp_session *session, int64_t deadline_ns); /* see driver.h */

/* Brings what returned `status` to its end without leaving. */
mp_status mp_call_run(mp_session *session, mp_status status, int64_t deadline_ns, mp_error *err);

/* For loops over what the server sends without end: fails when time is up, or the session no longer
   wanted. */
mp_status mp_call_look(mp_session *session, int64_t deadline_ns, mp_error *err);

/* Fails because the time of the connect is over. */
mp_status mp_call_fail_late(const mp_session *session, mp_error *err);

/* Bytes that libmariadb has read ahead and nobody has asked for yet: any; a whole packet, so that a call that
   reads one cannot block; a whole row. */
bool mp_call_has_cached(const mp_session *session);
bool mp_call_has_packet(const mp_session *session);
bool mp_call_has_row(const mp_session *session);

/* How the socket is read: by this file from the connect on, until another session gets the connection. */
void mp_call_take_reads(mp_session *session);
void mp_call_give_reads(mp_session *session);
void mp_call_may_block_until(mp_session *session, int64_t until_ns);

static inline bool mp_call_may_block(const mp_session *session) {
  return session->call.may_block_until_ns > 0;
}

/* Something is about to be sent: the read that comes next would be in vain. */
static inline void mp_call_expect_answer(mp_session *session) {
  session->call.answer_pending = true;
}

/* The connection belongs to the parent process: nothing may be read or written. */
bool mp_call_is_foreign(const mp_session *session);
mp_status mp_call_fail_foreign(mp_phase phase, mp_error *err);

/* Fails with what libmariadb says, or with a code and words like its own. */
mp_status mp_mysql_fail(mp_session *session, mp_phase phase, mp_error *err);
mp_status mp_say(unsigned code, const char *message, const char *sqlstate, mp_phase phase, mp_error *err);

#endif
