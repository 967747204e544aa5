/* Errors: the first one wins. */
#include "outcome.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

mp_status mp_fail(mp_error *err, mp_kind kind, unsigned code, const char *format, ...) {
  va_list arguments;
  if (err->kind != MP_ERR_NONE)
    return MP_FAILED;
  err->kind = kind;
  err->code = code;
  if (code >= 2000 && code < 3000)
    strcpy(err->sqlstate, "HY000"); /* as libmariadb says of its own errors */
  va_start(arguments, format);
  vsnprintf(err->message, sizeof err->message, format, arguments);
  va_end(arguments);
  return MP_FAILED;
}

const char *mp_kind_name(mp_kind kind) {
  static const char *const names[] = {
      [MP_ERR_NONE] = "none",     [MP_ERR_SERVER] = "server",     [MP_ERR_CONNECT] = "connect",
      [MP_ERR_LOST] = "lost",     [MP_ERR_TIMEOUT] = "timeout",   [MP_ERR_EXHAUSTED] = "exhausted",
      [MP_ERR_CLOSED] = "closed", [MP_ERR_PROTOCOL] = "protocol",
  };
  return names[kind];
}

const char *mp_executed_name(mp_executed executed) {
  static const char *const names[] = {"no", "unknown", "yes"};
  return names[executed];
}
