/* TLS: verified unless the user says otherwise, and never silently plain. */
#ifndef MYPOOL_MARIADB_TLS_H
#define MYPOOL_MARIADB_TLS_H

#include "session.h"

/* Also for a session without TLS. Fails when there is nothing to verify the server by. */
mp_status mp_tls_set_options(MYSQL *mysql, const mp_server *server, mp_error *err);

/* Before each call of libmariadb's in which the session may shake hands. */
void mp_tls_enter_handshake(MYSQL *mysql);

/* Once a session has logged in: fails when it is not encrypted. */
mp_status mp_tls_check(mp_session *session, mp_error *err);

/* Puts better words in the place of libmariadb's for a login that failed. Returns MP_FAILED. */
mp_status mp_tls_explain(const mp_session *session, mp_error *err);

/* After each call that writes under TLS, which leaves the socket blocking. */
void mp_tls_set_nonblocking(MYSQL *mysql);

/* Before libmariadb is called for a session that may be encrypted: what ended another one must not end it. */
void mp_tls_clear_errors(const mp_session *session);

#endif
