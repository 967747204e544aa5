/* Statements run in place while a session connects, and what is left of one that was stopped. */
#ifndef MYPOOL_MARIADB_BLOCKING_H
#define MYPOOL_MARIADB_BLOCKING_H

#include "session.h"

mp_status mp_run(mp_session *session, const char *sql, int64_t deadline_ns, mp_error *err);

/* One row of text. Its cells hold until mp_run_end, which must follow. */
mp_status mp_run_row(mp_session *session, const char *sql, int64_t deadline_ns, mp_error *err);
mp_status mp_run_fetch(mp_session *session, int64_t deadline_ns, mp_error *err); /* the next row */

/* The row that is being fetched is of no more use to its caller, who may free the memory that he gave for
   it. */
void mp_run_take_row(mp_session *session);

/* Reads the current result to its end, and all that follow it. */
mp_status mp_run_end(mp_session *session, int64_t deadline_ns, mp_error *err);

#endif
