/* Knows whether the transaction that somebody counts on is still there. */
#ifndef MYPOOL_MARIADB_TRANSACTION_H
#define MYPOOL_MARIADB_TRANSACTION_H

#include "session.h"

void mp_transaction_before_statement(mp_session *session, mp_sql_effect effect); /* a statement is sent */
void mp_transaction_after_reply(mp_session *session);
void mp_transaction_after_failure(mp_session *session, unsigned code);

/* After a failure: any reply of the server will tell whether there is still a transaction. */
bool mp_transaction_is_in_doubt(const mp_session *session);

/* Fails when any statement but ROLLBACK would commit by itself what its sender takes for a transaction. */
mp_status mp_transaction_check_alive(mp_session *session, mp_error *err);

/* See driver.h. */
mp_status mp_transaction_is_watched(const mp_session *session, uint64_t number, mp_error *err);
uint64_t mp_transaction_watch(mp_session *session);
mp_status mp_transaction_unwatch(mp_session *session, mp_error *err);
void mp_transaction_spoil(mp_session *session);

void mp_transaction_drop(mp_session *session); /* it was rolled back */

#endif
