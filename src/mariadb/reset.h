/* The reset: the flight is sent at release, or before that behind the last statement, and its replies are
   read at the next checkout. See driver.h. */
#ifndef MYPOOL_MARIADB_RESET_H
#define MYPOOL_MARIADB_RESET_H

#include "session.h"

mp_status mp_reset_send(mp_session *session, mp_error *err);
mp_status mp_reset_read(mp_session *session, mp_error *err);

/* Replies to it have not been read. */
static inline bool mp_reset_is_pending(const mp_session *session) {
  return session->reset.replies_pending > 0;
}

/* All of the flight was sent, behind a statement. */
static inline void mp_reset_note_sent(mp_session *session) {
  session->reset.sent = session->flight.packets.length;
  session->reset.unsent = 0;
  session->reset.replies_pending = session->flight.replies;
}

/* A part of it has not been sent. */
static inline bool mp_reset_is_half_sent(const mp_session *session) {
  return session->reset.unsent > 0;
}

#endif
