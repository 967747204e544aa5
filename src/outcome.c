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

void mp_error_follow(mp_error *err, const char *words) {
  strncat(err->message, words, sizeof err->message - 1 - strlen(err->message));
}

void mp_error_precede(mp_error *err, const char *format, ...) {
  va_list arguments;
  char message[sizeof err->message];
  memcpy(message, err->message, sizeof message);
  va_start(arguments, format);
  vsnprintf(err->message, sizeof err->message, format, arguments);
  va_end(arguments);
  mp_error_follow(err, message);
}

/* By whole numbers: the point of a fraction would be the locale's. Times below a millisecond are told by
   microseconds. */
mp_seconds mp_seconds_of(int64_t ns) {
  mp_seconds seconds;
  int64_t us = ns < MP_MILLISECOND ? ns / 1000 : (ns + MP_MILLISECOND / 2) / MP_MILLISECOND * 1000;
  int length = snprintf(seconds.text, sizeof seconds.text, "%lld.%06d", (long long)(us / 1000000),
                        (int)(us % 1000000));
  while (seconds.text[length - 1] == '0')
    length--;
  seconds.text[seconds.text[length - 1] == '.' ? length - 1 : length] = '\0';
  return seconds;
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
