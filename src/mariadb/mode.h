/* How the session's server reads SQL text: by its sql_mode and character_set_client. */
#ifndef MYPOOL_MARIADB_MODE_H
#define MYPOOL_MARIADB_MODE_H

#include "session.h"

void mp_mode_heed(mp_session *session, bool failed); /* after each reply, and each end of rows */
void mp_mode_start_over(mp_session *session);        /* at the baseline */
void mp_mode_drop(mp_session *session);              /* something else is sent */
mp_sql_mode mp_mode_of(const mp_session *session);
mp_reading mp_mode_reading(const char *sql_mode, const char *charset_client);

/* The reply to the question has begun: names the call that reads the answer. Returns MP_WAIT. */
mp_status mp_mode_read_answer(mp_session *session);

#endif
