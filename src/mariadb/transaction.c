/* Knows whether the transaction that somebody counts on is still there: the server may have undone it, a
   statement in it may have ended it, and what follows would then commit by itself. */
#include "transaction.h"

#include <mysqld_error.h>
#include <stdio.h>

/* ER_CHECKREAD came with the snapshot isolation of MariaDB 10.6.18. A lock wait that timed out undoes its
   statement alone, unless the server is told otherwise. */
static bool is_undone_by(const mp_session *session, unsigned code) {
  return code == ER_LOCK_DEADLOCK || code == ER_CHECKREAD || code == ER_LOCK_TABLE_FULL ||
         (code == ER_LOCK_WAIT_TIMEOUT && session->base.rolls_back_on_timeout);
}

static bool is_open(const mp_session *session) {
  unsigned status = session->mysql->server_status;
  return (status & SERVER_STATUS_IN_TRANS) || !(status & SERVER_STATUS_AUTOCOMMIT);
}

/* Every reply but an error says whether there is a transaction: one that is watched may end only by its
   helper. */
static void look(mp_session *session) {
  transaction *t = &session->transaction;
  if (t->watched > 0 && t->ending == TRANSACTION_LASTS &&
      !(session->mysql->server_status & SERVER_STATUS_IN_TRANS))
    t->ending = TRANSACTION_ENDED;
}

/* ---- around a statement ---- */

void mp_transaction_before_statement(mp_session *session, mp_sql_effect effect) {
  look(session);
  session->transaction.effect = effect;
  session->transaction.before = is_open(session);
}

/* COMMIT AND CHAIN, and START TRANSACTION within another, begin the next one at once. */
void mp_transaction_after_reply(mp_session *session) {
  transaction *t = &session->transaction;
  if (t->effect == MP_EFFECT_ROLLBACK)
    mp_transaction_drop(session);
  else if (t->effect == MP_EFFECT_ENDS && t->watched > 0)
    t->ending = TRANSACTION_ENDED;
}

/* The flag of the client stays set. */
void mp_transaction_after_failure(mp_session *session, unsigned code) {
  transaction *t = &session->transaction;
  if (!t->before || t->ending != TRANSACTION_LASTS || !is_undone_by(session, code))
    return;
  t->ending = TRANSACTION_UNDONE;
  t->code = code;
}

bool mp_transaction_is_in_doubt(const mp_session *session) {
  const transaction *t = &session->transaction;
  bool may_end = t->effect == MP_EFFECT_PARTIAL || t->effect == MP_EFFECT_ENDS;
  return t->before && may_end && t->ending == TRANSACTION_LASTS;
}

/* Writes why nothing more can be added to the transaction. The last statement that was sent has ended it. */
static void explain(const mp_session *session, char *text, size_t size) {
  const transaction *t = &session->transaction;
  char word[16];
  mp_sql_first_word(session->text.head.text, session->text.head.length, word, sizeof word);
  if (t->ending == TRANSACTION_UNDONE)
    snprintf(text, size, "the server has rolled this transaction back (error %u)", t->code);
  else if (t->ending == TRANSACTION_SPOILED)
    snprintf(text, size, "a part of this transaction could not be rolled back");
  else
    snprintf(text, size, "%s has ended this transaction, and as a rule committed what came before it",
             *word ? word : "a statement");
}

static unsigned code_of(const transaction *t) {
  return t->ending == TRANSACTION_UNDONE ? t->code : 0;
}

mp_status mp_transaction_check_alive(mp_session *session, mp_error *err) {
  const transaction *t = &session->transaction;
  char why[128];
  look(session);
  if (t->ending == TRANSACTION_LASTS)
    return MP_DONE;
  explain(session, why, sizeof why);
  return mp_fail(err, MP_ERR_SERVER, code_of(t), "%s: ROLLBACK before anything else", why);
}

/* ---- for whoever helps with transactions ---- */

mp_status mp_transaction_is_watched(const mp_session *session, uint64_t number, mp_error *err) {
  const transaction *t = &session->transaction;
  if (t->watched == number)
    return MP_DONE;
  bool undone = t->ended != number;
  err->executed = undone ? MP_EXECUTED_NO : MP_EXECUTED_UNKNOWN;
  return mp_fail(err, MP_ERR_SERVER, 0, "this transaction is over: %s",
                 undone ? "a reset of the session, or ROLLBACK, has undone it"
                        : "a statement has ended it, and as a rule committed what came before");
}

/* A server that does not tell of transactions cannot be watched. */
uint64_t mp_transaction_watch(mp_session *session) {
  transaction *t = &session->transaction;
  if (t->watched == 0 && (session->mysql->server_status & SERVER_STATUS_IN_TRANS))
    t->watched = ++t->last;
  return t->watched;
}

mp_status mp_transaction_unwatch(mp_session *session, mp_error *err) {
  transaction *t = &session->transaction;
  char why[128];
  look(session);
  t->watched = 0;
  if (t->ending == TRANSACTION_LASTS)
    return MP_DONE;
  explain(session, why, sizeof why);
  err->executed = t->ending == TRANSACTION_ENDED ? MP_EXECUTED_UNKNOWN : MP_EXECUTED_NO;
  err->retryable = t->ending == TRANSACTION_UNDONE && t->code != ER_LOCK_TABLE_FULL;
  return mp_fail(err, MP_ERR_SERVER, code_of(t), "%s", why);
}

void mp_transaction_spoil(mp_session *session) {
  transaction *t = &session->transaction;
  if (t->ending == TRANSACTION_LASTS)
    t->ending = TRANSACTION_SPOILED;
}

/* The number stays: whoever has begun the transaction may still ask for it. */
void mp_transaction_drop(mp_session *session) {
  transaction *t = &session->transaction;
  if (t->watched > 0 && t->ending == TRANSACTION_ENDED)
    t->ended = t->watched;
  t->watched = 0;
  t->ending = TRANSACTION_LASTS;
}
