/* The retry table: what a failure proves about the statement, and what becomes of the
   session. Only a send that failed, and a connect that failed, prove that nothing ran. The
   numbers are those of errmsg.h and mysqld_error.h. */
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
    {1213, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, false},  /* deadlock */
    {1020, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, false},  /* record changed since last read */
    {1205, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, false},  /* lock wait timeout */
    {1317, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false}, /* KILL QUERY */
    {1969, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false}, /* max_statement_time */
    {3024, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false}, /* max_execution_time, MySQL */

    /* The server cannot write, or is not part of its cluster: another one may. */
    {1290, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true}, /* running with --read-only */
    {1792, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true}, /* read-only transaction */
    {1836, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true}, /* read-only mode */
    {1047, MP_ERR_SERVER, MP_EXECUTED_NO, true, false, true}, /* Galera node not ready */

    /* The server's own words for a session that is going, in the middle of something. */
    {1053, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* shutdown in progress */
    {1156, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* packets out of order */
    {1157, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* cannot uncompress */
    {1158, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* error reading packets */
    {1159, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* timeout reading packets */
    {1160, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* error writing packets */
    {1161, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* timeout writing packets */
    {1180, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* error during COMMIT */
    {1927, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false}, /* connection was killed */
    {2057, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true,
     false},                                                /* a table changed under a prepared statement */
    {4031, MP_ERR_LOST, MP_EXECUTED_NO, true, true, false}, /* closed for inactivity, MySQL */
};

static const retry_rule other_server_error = {0, MP_ERR_SERVER, MP_EXECUTED_NO, false, false, false};
static const retry_rule client_error = {0, MP_ERR_LOST, MP_EXECUTED_UNKNOWN, false, true, false};

static bool is_from_client(unsigned code) {
  return code == 0 || (code >= 2000 && code < 3000) || code >= 5000;
}

/* Another server would be of no use where 1290 tells of another option, 1792 of a transaction that the
   program wanted to be read-only, and 1047 of a command that the server does not know. */
static bool is_about_the_server(const mp_error *err, bool read_only) {
  switch (err->code) {
  case 1290:
    return strstr(err->message, "read-only");
  case 1792:
    return read_only;
  case 1047:
    return strstr(err->message, "WSREP");
  default:
    return true;
  }
}

static const retry_rule *find_rule(const mp_error *err, bool read_only) {
  unsigned code = err->code;
  if (!is_about_the_server(err, read_only))
    return &other_server_error;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (rules[i].code == code)
      return &rules[i];
  return is_from_client(code) ? &client_error : &other_server_error;
}

/* The driver says so of a statement that the server does not undo as a whole. */
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

/* A refusal by our own side before anything was sent leaves the session as it was: a packet that is too
   large, a transaction that has ended, or 2014, a statement inside of an open result. */
static bool is_own_refusal(const mp_error *err) {
  return !is_from_client(err->code) || err->code == 2014 || (err->code == 0 && err->kind == MP_ERR_SERVER);
}

static mp_verdict judge_send(mp_error *err) {
  err->executed = MP_EXECUTED_NO;
  if (is_own_refusal(err))
    return (mp_verdict){0};
  if (err->kind != MP_ERR_PROTOCOL || err->code == 2006)
    err->kind = MP_ERR_LOST;
  err->executed = err->code == 2006 ? MP_EXECUTED_NO : MP_EXECUTED_UNKNOWN;
  err->retryable = err->code == 2006;
  err->fatal = true;
  return (mp_verdict){.lost = true, .again = err->code == 2006};
}

/* Of the errors that refuse a connect only these pass with time. */
static bool may_pass(unsigned code) {
  switch (code) {
  case 1040: /* too many connections */
  case 1041: /* out of memory */
  case 1047: /* Galera node not ready */
  case 1053: /* shutdown in progress */
  case 1135: /* cannot create a thread */
  case 1203: /* max_user_connections */
  case 1205: /* lock wait timeout, in init SQL */
  case 1213: /* deadlock, in init SQL */
  case 1226: /* resource limit of the account */
  case 1927: /* connection was killed */
    return true;
  default:
    return false;
  }
}

static bool is_final(unsigned code) {
  switch (code) {
  case 0:    /* our own: the password function failed, no thread or descriptor is left */
  case 2007: /* another protocol */
  case 2019: /* unknown character set */
  case 2026: /* TLS refused: a certificate, a file, a server without it; what was cut has another number */
  case 2049: /* old authentication */
  case 2059: /* authentication plugin cannot be loaded */
  case 5010: /* authentication plugin not allowed */
    return true;
  default:
    return !is_from_client(code) && !may_pass(code);
  }
}

static mp_verdict judge_connect(mp_error *err) {
  err->kind = MP_ERR_CONNECT;
  err->executed = MP_EXECUTED_NO;
  err->retryable = !is_final(err->code);
  return (mp_verdict){.lost = true, .again = err->retryable};
}

mp_verdict judge(mp_error *err, bool idempotent, bool read_only) {
  if (err->phase == MP_PHASE_CONNECT)
    return judge_connect(err);
  if (err->phase == MP_PHASE_SEND)
    return judge_send(err);
  mp_verdict verdict = apply(err, find_rule(err, read_only));
  verdict.again = verdict.lost && err->phase == MP_PHASE_REPLY && idempotent;
  return verdict;
}
