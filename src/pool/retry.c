/* The retry table: what a failure proves about the statement, and what becomes of the
   session. Only a send that failed, and a connect that failed, prove that nothing ran. */
#include "retry.h"

#include <string.h>

typedef struct retry_rule {
  unsigned code;
  mp_kind kind;
  mp_executed executed;
  bool retryable, lost, retire;
} retry_rule;

static const retry_rule rules[] = {
    /* The transaction, or only the statement, was undone; the session is good. */
    {MP_ER_DEADLOCK, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, false},
    {MP_ER_CHECKREAD, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, false},
    {MP_ER_LOCK_WAIT_TIMEOUT, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, false},
    {MP_ER_QUERY_INTERRUPTED, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false},
    {MP_ER_STATEMENT_TIMEOUT, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false},
    {MP_ER_QUERY_TIMEOUT, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false},

    /* The server cannot write, or is not part of its cluster: another one may. */
    {MP_ER_OPTION_PREVENTS, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true},
    {MP_ER_READ_ONLY_TRANSACTION, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true},
    {MP_ER_READ_ONLY_MODE, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true},
    {MP_ER_UNKNOWN_COMMAND, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true}, /* Galera node not ready */

    /* The server's own words for a session that is going, in the middle of something. */
    {MP_ER_SHUTDOWN, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_PACKETS_OUT_OF_ORDER, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_CANNOT_UNCOMPRESS, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_READING_PACKETS, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_READ_INTERRUPTED, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_WRITING_PACKETS, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_WRITE_INTERRUPTED, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_DURING_COMMIT, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_CONNECTION_KILLED, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_CR_NEW_STATEMENT_METADATA, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false},
    {MP_ER_CLIENT_INTERACTION_TIMEOUT, MP_ERR_LOST, MP_EXECUTED_NO, true, true, false},
};

static const retry_rule other_server_error = {0, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false};
static const retry_rule client_error = {0, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false};

/* Numbers from 6000 on are the server's again: of newer MySQL servers, and of programs that give their SIGNAL
   a number. */
static bool is_from_client(unsigned code) {
  return code == 0 || (code >= 2000 && code < 3000) || (code >= 5000 && code < 6000);
}

/* Another server would be of no use where 1290 tells of another option, 1792 of a transaction that the
   program wanted to be read-only, and 1047 of a command that the server does not know; nor where a write came
   to a pool for reading. */
static bool is_about_the_server(const mp_error *err, bool read_only, mp_need need) {
  switch (err->code) {
  case MP_ER_OPTION_PREVENTS:
    return need != MP_NEED_READ && strstr(err->message, "read-only");
  case MP_ER_READ_ONLY_MODE:
    return need != MP_NEED_READ;
  case MP_ER_READ_ONLY_TRANSACTION:
    return need != MP_NEED_READ && read_only;
  case MP_ER_UNKNOWN_COMMAND:
    return strstr(err->message, "WSREP");
  default:
    return true;
  }
}

static const retry_rule *rule_of(unsigned code) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (rules[i].code == code)
      return &rules[i];
  return is_from_client(code) ? &client_error : &other_server_error;
}

static const retry_rule *find_rule(const mp_error *err, bool read_only, mp_need need) {
  return is_about_the_server(err, read_only, need) ? rule_of(err->code) : &other_server_error;
}

bool mp_transaction_may_run_again(unsigned code, bool elsewhere) {
  const retry_rule *rule = rule_of(code);
  return rule->retryable && !rule->lost && (elsewhere || !rule->retire);
}

/* The driver marks the failure of a statement that the server does not undo as a whole. */
static bool may_be_partial(const mp_error *err) {
  return err->executed == MP_EXECUTED_UNKNOWN;
}

static mp_verdict apply(mp_error *err, const retry_rule *rule) {
  if (err->kind != MP_ERR_PROTOCOL)
    err->kind = rule->kind;
  err->retryable = rule->retryable && !may_be_partial(err);
  if (!may_be_partial(err))
    err->executed = rule->executed;
  err->fatal = rule->lost;
  return (mp_verdict){.lost = rule->lost, .retire = rule->retire};
}

/* A check of our own, before anything was sent, leaves the session as it was: of a packet that is too large,
   a transaction that has ended, or, 2014, a statement inside of an open result. */
static bool is_own_check(const mp_error *err) {
  return !is_from_client(err->code) || err->code == MP_CR_OUT_OF_SYNC ||
         (err->code == 0 && err->kind == MP_ERR_SERVER);
}

static mp_verdict judge_send(mp_error *err) {
  err->executed = MP_EXECUTED_NO;
  if (is_own_check(err))
    return (mp_verdict){0};
  if (err->kind != MP_ERR_PROTOCOL || err->code == MP_CR_SERVER_GONE)
    err->kind = MP_ERR_LOST;
  err->executed = err->code == MP_CR_SERVER_GONE ? MP_EXECUTED_NO : MP_EXECUTED_UNKNOWN;
  err->retryable = err->code == MP_CR_SERVER_GONE;
  err->fatal = true;
  return (mp_verdict){.lost = true, .again = err->code == MP_CR_SERVER_GONE};
}

/* The errors that refuse a connect, and pass with time. */
static bool may_pass(unsigned code) {
  switch (code) {
  case MP_ER_CON_COUNT:
  case MP_ER_OUT_OF_RESOURCES:
  case MP_ER_UNKNOWN_COMMAND: /* Galera node not ready */
  case MP_ER_SHUTDOWN:
  case MP_ER_CANNOT_CREATE_THREAD:
  case MP_ER_USER_CONNECTIONS:
  case MP_ER_READ_ONLY_MODE:    /* need = "write" */
  case MP_ER_LOCK_WAIT_TIMEOUT: /* in init SQL */
  case MP_ER_DEADLOCK:          /* in init SQL */
  case MP_ER_USER_LIMIT:
  case MP_ER_CONNECTION_KILLED:
    return true;
  default:
    return false;
  }
}

static bool is_final(unsigned code) {
  switch (code) {
  case 0: /* our own: the password function failed, no thread or descriptor is left */
  case MP_CR_VERSION:
  case MP_CR_UNKNOWN_CHARSET:
  case MP_CR_TLS:
  case MP_CR_OLD_AUTHENTICATION:
  case MP_CR_PLUGIN_NOT_LOADED:
  case MP_CR_PLUGIN_NOT_ALLOWED:
    return true;
  default:
    return !is_from_client(code) && !may_pass(code);
  }
}

mp_verdict judge_connect(mp_error *err) {
  err->kind = MP_ERR_CONNECT;
  err->executed = MP_EXECUTED_NO;
  err->retryable = !is_final(err->code);
  return (mp_verdict){.lost = true, .again = err->retryable};
}

bool is_answered(const mp_error *err) {
  return !is_from_client(err->code);
}

mp_verdict judge(mp_error *err, bool idempotent, bool read_only, mp_need need) {
  if (err->phase == MP_PHASE_CONNECT)
    return judge_connect(err);
  if (err->phase == MP_PHASE_SEND)
    return judge_send(err);
  mp_verdict verdict = apply(err, find_rule(err, read_only, need));
  verdict.again = verdict.lost && err->phase == MP_PHASE_REPLY && idempotent;
  return verdict;
}
