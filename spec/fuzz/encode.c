/* Fuzzes the encoder: whatever the bytes, the literal reads back as those bytes, is one token under
   every sql_mode, and hides nothing that follows it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* What a literal stands for, read by the rules of the server. */
static size_t read_quoted(const char *at, const char *end, char quote, char *out) {
  size_t length = 0;
  FUZZ_CHECK(end - at >= 2 && *at == quote && end[-1] == quote);
  for (at++, end--; at < end; at++) {
    FUZZ_CHECK(*at != '\\' || quote == '`'); /* would mean something under some sql_modes */
    if (*at == quote)
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

static size_t read_literal(const mp_buffer *literal, char *out) {
  const char *at = literal->data, *end = at + literal->length;
  if (*at == '\'')
    return read_quoted(at, end, '\'', out);
  if (literal->length > 9 && memcmp(at, "_utf8mb4 ", 9) == 0)
    at += 9;
  return read_hex(at, end, out);
}

/* Between other SQL the literal takes nothing of it with it. */
static void check_bounds(const mp_buffer *literal, bool no_backslash_escapes) {
  mp_buffer sql = {0};
  mp_scanner scanner;
  fuzz_add(&sql, "?,");
  size_t start = sql.length;
  mp_buffer_add(&sql, literal->data, literal->length);
  fuzz_add(&sql, ",?");
  mp_scanner_init(&scanner, sql.data, sql.length, no_backslash_escapes);
  FUZZ_CHECK(mp_scanner_next(&scanner) == sql.data);
  FUZZ_CHECK(mp_scanner_next(&scanner) == sql.data + start + literal->length + 1);
  FUZZ_CHECK(!mp_scanner_next(&scanner));
  mp_buffer_free(&sql);
}

static void check(const mp_buffer *literal, const char *bytes, size_t length) {
  char *back = malloc(literal->length + 1);
  FUZZ_CHECK(read_literal(literal, back) == length && memcmp(back, bytes, length) == 0);
  free(back);
  check_bounds(literal, false);
  check_bounds(literal, true);
}

static void check_string(const char *bytes, size_t length, mp_sql_mode mode, bool hex) {
  mp_buffer out = {0};
  mp_encode_string(&out, bytes, length, mode, hex);
  check(&out, bytes, length);
  bool quoted = *out.data == '\'';
  FUZZ_CHECK(!quoted || (!hex && mp_is_text(bytes, length)));
  if (quoted && !mode.utf8) /* a multi-byte charset could take the closing quote for its own */
    for (size_t i = 0; i < out.length; i++)
      FUZZ_CHECK((unsigned char)out.data[i] < 0x80);
  out.length = 0;
  mp_encode_binary(&out, bytes, length);
  check(&out, bytes, length);
  mp_buffer_free(&out);
}

static void check_identifier(const char *bytes, size_t length, mp_sql_mode mode) {
  mp_buffer out = {0};
  if (mp_encode_identifier(&out, bytes, length, mode)) {
    char *back = malloc(out.length + 1);
    FUZZ_CHECK(read_quoted(out.data, out.data + out.length, '`', back) == length);
    FUZZ_CHECK(memcmp(back, bytes, length) == 0);
    free(back);
    check_bounds(&out, false);
    check_bounds(&out, true);
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
  mp_sql_mode mode = {.no_backslash_escapes = data[0] & 1, .utf8 = data[0] & 2};
  char *bytes = fuzz_copy(data + 1, size - 1);
  check_string(bytes, size - 1, mode, data[0] & 4);
  check_identifier(bytes, size - 1, mode);
  check_numbers(bytes, size - 1);
  free(bytes);
  return 0;
}
