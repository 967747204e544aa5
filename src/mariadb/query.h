/* Statements of the text protocol: send, first reply, rows, further results. */
#ifndef MYPOOL_MARIADB_QUERY_H
#define MYPOOL_MARIADB_QUERY_H

#include "session.h"

mp_status mp_query_send(mp_session *session, const char *sql, size_t length, bool last, mp_error *err);
mp_status mp_query_fetch(mp_session *session, mp_row *row, mp_error *err);
mp_status mp_query_next_result(mp_session *session, bool *more, mp_error *err);
mp_status mp_query_ping(mp_session *session, mp_error *err);
mp_status mp_query_ask_mode(mp_session *session, mp_error *err); /* see `ask` of driver.h */
void mp_query_summary(const mp_session *session, mp_summary *summary);

/* For statements of either protocol: fails when this one cannot be sent; notes what matters once it has
   ended; keeps its beginning; after a failure, has the server say what became of the transaction. */
mp_status mp_query_check_ready(mp_session *session, mp_sql_effect effect, size_t length, mp_error *err);
void mp_query_note(mp_session *session, mp_sql_effect effect, bool may_set_charset);
void mp_query_head(statement_head *head, const char *sql, size_t length);
mp_status mp_query_after_failure(mp_session *session, mp_error *err);

#endif
