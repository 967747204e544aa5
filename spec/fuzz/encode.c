/* Fuzzes the encoder: whatever the bytes, the literal reads back as those bytes, is one token under
   every sql_mode, and hides nothing that follows it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* ---- what the server makes of a literal, by a reading ---- */

static size_t read_quoted(const char *at, const char *end, char quote, bool escapes, char *out) {
  size_t length = 0;
  FUZZ_CHECK(end - at >= 2 && *at == quote && end[-1] == quote);
  for (at++, end--; at < end; at++) {
    if (*at == '\\' && escapes)
      FUZZ_CHECK(++at < end && *at == '\\'); /* others would mean something else */
    else if (*at == quote)
      FUZZ_CHECK(++at < end && *at == quote);
    out[length++] = *at;
  }
  return length;
}

static int digit(char c) {
  FUZZ_CHECK((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
  return c <= '9' ? c - '0' : c - 'A' + 10;
}

static size_t read_hex(const char *at, const char *end, char *out) {
  size_t length = 0;
  FUZZ_CHECK(end - at >= 3 && at[0] == 'x' && at[1] == '\'' && end[-1] == '\'' && (end - at) % 2 == 1);
  for (at += 2, end--; at < end; at += 2)
    out[length++] = (char)(digit(at[0]) << 4 | digit(at[1]));
  return length;
}

static bool begins_with(const mp_buffer *literal, const char *text) {
  return literal->length > strlen(text) && memcmp(literal->data, text, strlen(text)) == 0;
}

/* REPLACE('text','sign',LEFT('\\',1)) */
static size_t read_replaced(const char *at, const char *end, char *out) {
  static const char tail[] = "',LEFT('\\\\',1))";
  const char *sign = end - sizeof tail;
  FUZZ_CHECK(sign - at > 11 && memcmp(sign + 1, tail, sizeof tail - 1) == 0 && *sign >= '!' && *sign <= ';');
  FUZZ_CHECK(memcmp(sign - 2, ",'", 2) == 0 && !memchr(at, '\\', (size_t)(sign - at)));
  size_t length = read_quoted(at + 8, sign - 2, '\'', false, out);
  for (size_t i = 0; i < length; i++)
    if (out[i] == *sign)
      out[i] = '\\';
  return length;
}

static size_t read_literal(const mp_buffer *literal, bool escapes, char *out) {
  const char *at = literal->data, *end = at + literal->length;
  if (*at == '\'')
    return read_quoted(at, end, '\'', escapes, out);
  if (begins_with(literal, "REPLACE("))
    return read_replaced(at, end, out);
  if (begins_with(literal, "LEFT('a',0"))
    return 0;
  return read_hex(begins_with(literal, "_utf8mb4 ") ? at + 9 : at, end, out);
}

/* ---- the mode ---- */

static mp_sql_mode mode_of(unsigned char bits) {
  return (mp_sql_mode){.reading.no_backslash_escapes = bits & 1,
                       .utf8 = bits & 2,
                       .utf8mb4 = (bits & 18) == 18,
                       .escapes_known = bits & 8,
                       .empty_string_is_null = bits & 32,
                       .charset_known = bits & 64};
}

/* Between other SQL the literal takes nothing of it with it, by any reading that is open. */
static void check_bounds(const mp_buffer *literal, const mp_sql_mode *mode) {
  mp_buffer sql = {0};
  mp_scanner scanner;
  fuzz_add(&sql, "?,");
  size_t start = sql.length;
  mp_buffer_add(&sql, literal->data, literal->length);
  fuzz_add(&sql, ",?");
  mp_scanner_init(&scanner, sql.data, sql.length, mode->reading);
  FUZZ_CHECK(mp_scanner_next(&scanner) == sql.data);
  FUZZ_CHECK(mp_scanner_next(&scanner) == sql.data + start + literal->length + 1);
  FUZZ_CHECK(!mp_scanner_next(&scanner));
  FUZZ_CHECK(mp_sql_is_certain(sql.data, sql.length, mode));
  mp_buffer_free(&sql);
}

static void check(const mp_buffer *literal, const char *bytes, size_t length, const mp_sql_mode *mode) {
  char *back = malloc(literal->length + 1);
  for (int escapes = 0; escapes < 2; escapes++) {
    if (mode->escapes_known && escapes == mode->reading.no_backslash_escapes)
      continue;
    FUZZ_CHECK(read_literal(literal, escapes, back) == length && memcmp(back, bytes, length) == 0);
  }
  free(back);
  check_bounds(literal, mode);
}

static void check_string(const char *bytes, size_t length, mp_sql_mode mode, bool hex) {
  mp_buffer out = {0};
  mp_encode_string(&out, bytes, length, &mode, hex);
  check(&out, bytes, length, &mode);
  bool quoted = *out.data != 'x' && *out.data != '_';
  FUZZ_CHECK(!quoted || (!hex && mp_is_text(bytes, length)));
  if (quoted && !mode.utf8) /* to another charset it would be another text */
    for (size_t i = 0; i < out.length; i++)
      FUZZ_CHECK((unsigned char)out.data[i] < 0x80);
  out.length = 0;
  mp_encode_binary(&out, bytes, length, &mode);
  check(&out, bytes, length, &mode);
  mp_buffer_free(&out);
}

static void check_identifier(const char *bytes, size_t length, mp_sql_mode mode) {
  mp_buffer out = {0};
  if (mp_encode_identifier(&out, bytes, length, &mode)) {
    char *back = malloc(out.length + 1);
    FUZZ_CHECK(read_quoted(out.data, out.data + out.length, '`', false, back) == length);
    FUZZ_CHECK(memcmp(back, bytes, length) == 0);
    free(back);
    if (mp_identifier_is_clear(out.data, out.length, &mode))
      check_bounds(&out, &mode);
    else
      FUZZ_CHECK(!mode.charset_known);
  } else {
    FUZZ_CHECK(out.length == 0);
  }
  mp_buffer_free(&out);
}

static void check_numbers(const char *bytes, size_t length) {
  mp_buffer out = {0};
  double number;
  int64_t integer;
  if (length < sizeof number)
    return;
  memcpy(&number, bytes, sizeof number);
  memcpy(&integer, bytes, sizeof integer);
  mp_encode_integer(&out, integer);
  fuzz_add(&out, "");
  mp_buffer_add(&out, "", 1);
  FUZZ_CHECK(strtoll(out.data, NULL, 10) == integer);
  out.length = 0;
  if (isfinite(number)) {
    mp_encode_float(&out, number);
    mp_buffer_add(&out, "", 1);
    FUZZ_CHECK(strtod(out.data, NULL) == number && strchr(out.data, 'e'));
  }
  mp_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  mp_sql_mode mode = mode_of(data[0]);
  char *bytes = fuzz_copy(data + 1, size - 1);
  check_string(bytes, size - 1, mode, data[0] & 4);
  check_identifier(bytes, size - 1, mode);
  check_numbers(bytes, size - 1);
  free(bytes);
  return 0;
}
