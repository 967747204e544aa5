/* Values as SQL literals, right under every sql_mode and charset. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mypool.h"
#include "spec.h"
#include "sql/utf8.h"

static const mp_sql_mode utf8 = {.utf8 = true, .utf8mb4 = true, .escapes_known = true},
                         latin1 = {.escapes_known = true};
static const mp_sql_mode mb3 = {.utf8 = true, .escapes_known = true};
static const mp_sql_mode unsure = {.utf8 = true};
static const mp_sql_mode letters = {
    .utf8 = true, .escapes_known = true, .reading.no_backslash_escapes = true};

/* The buffer's text as a string, which holds until the next call. */
static const char *taken(mp_buffer *buffer) {
  static char text[4096];
  expect(!buffer->failed && buffer->length < sizeof text);
  snprintf(text, sizeof text, "%.*s", (int)buffer->length, buffer->length ? buffer->data : "");
  mp_buffer_free(buffer);
  return text;
}

static const char *integer(int64_t value) {
  mp_buffer out = {0};
  mp_encode_integer(&out, value);
  return taken(&out);
}

static const char *number(double value) {
  mp_buffer out = {0};
  mp_encode_float(&out, value);
  return taken(&out);
}

static const char *string_of(const char *bytes, size_t length, mp_sql_mode mode, bool hex) {
  mp_buffer out = {0};
  mp_encode_string(&out, bytes, length, &mode, hex);
  return taken(&out);
}

static const char *string(const char *text, mp_sql_mode mode) {
  return string_of(text, strlen(text), mode, false);
}

/* NULL when it was refused. */
static const char *identifier_of(const char *bytes, size_t length, mp_sql_mode mode) {
  mp_buffer out = {0};
  if (mp_encode_identifier(&out, bytes, length, &mode))
    return taken(&out);
  expect_equal(out.length, 0);
  return NULL;
}

static const char *identifier(const char *name, mp_sql_mode mode) {
  return identifier_of(name, strlen(name), mode);
}

it("writes NULL, TRUE and FALSE") {
  mp_buffer out = {0};
  mp_encode_null(&out);
  mp_encode_boolean(&out, true);
  mp_encode_boolean(&out, false);
  expect_text(taken(&out), "NULLTRUEFALSE");
}

it("writes integers in decimal, to both limits") {
  expect_text(integer(0), "0");
  expect_text(integer(-1), "-1");
  expect_text(integer(INT64_MAX), "9223372036854775807");
  expect_text(integer(INT64_MIN), "-9223372036854775808");
}

it("writes floats so that the server reads a DOUBLE, not a DECIMAL") {
  expect_text(number(0), "0e0");
  expect_text(number(-0.0), "-0e0");
  expect_text(number(1), "1e0");
  expect_text(number(0.1), "0.1e0");
  expect_text(number(-2.5), "-2.5e0");
  expect_text(number(1e100), "1e+100");
  expect_text(number(123456789012345680.0), "1.2345678901234568e+17");
}

it("writes floats in the shortest form that reads back equal") {
  expect_text(number(0.3), "0.3e0");
  expect_text(number(0.07), "0.07e0");
  expect_text(number(0.1 + 0.2), "0.30000000000000004e0");
  expect_text(number(5e-324), "5e-324");
  expect_text(number(1.5e-323), "1.5e-323");
  expect_text(number(DBL_MAX), "1.7976931348623157e+308");
  expect_text(number(DBL_MIN), "2.2250738585072014e-308");
  expect_text(number(2.2250738585072011e-308), "2.225073858507201e-308");
}

static double random_double(uint64_t *state) {
  double value;
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  memcpy(&value, state, sizeof value);
  return value;
}

it("writes floats that read back equal, whatever their bits") {
  uint64_t state = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    double value = random_double(&state);
    if (!isfinite(value))
      continue;
    spec_note("%a", value);
    expect(strtod(number(value), NULL) == value);
  }
}

it("quotes text, doubling the quotes in it") {
  expect_text(string("abc", utf8), "'abc'");
  expect_text(string("it's", utf8), "'it''s'");
  expect_text(string("'", utf8), "''''");
  expect_text(string("''", utf8), "''''''");
  expect_text(string("\"`?#-- /*", utf8), "'\"`?#-- /*'");
  expect_text(string("a\nb\r\t\x1a", utf8), "'a\nb\r\t\x1a'");
}

it("writes empty text so that it is not taken for NULL") {
  mp_sql_mode empty_is_null = {.utf8 = true, .empty_string_is_null = true};
  expect_text(string("", utf8), "''");
  expect_text(string("", latin1), "''");
  expect_text(string("", empty_is_null), "LEFT('a',0)");
}

it("doubles backslashes where the server surely escapes") {
  expect_text(string("\\", utf8), "'\\\\'");
  expect_text(string("a\\'b\\", utf8), "'a\\\\''b\\\\'");
  expect_text(string("C:\\dir", latin1), "'C:\\\\dir'");
}

it("puts a sign in the place of a backslash where it may be none") {
  expect_text(string("\\' OR 1", letters), "REPLACE('!'' OR 1','!',LEFT('\\\\',1))");
  expect_text(string("\\' OR 1", unsure), "REPLACE('!'' OR 1','!',LEFT('\\\\',1))");
  expect_text(string("a!\\#", letters), "REPLACE('a!$#','$',LEFT('\\\\',1))");
  expect_text(string("!#$%&()*+,-./:;\\", letters), "_utf8mb4 x'212324252628292A2B2C2D2E2F3A3B5C'");
}

it("puts a sign in the place of a backslash that may be the second byte of a character") {
  expect_text(string("\xc3\xa9\\", utf8), "REPLACE('\xc3\xa9!','!',LEFT('\\\\',1))");
  expect_text(string("\\\xc3\xa9", utf8), "'\\\\\xc3\xa9'");
}

it("is in doubt about a name whose last back-tick may belong to a character") {
  mp_sql_mode asked = utf8;
  asked.charset_known = true;
  expect(mp_identifier_is_clear("`abc`", 5, &unsure));
  expect(mp_identifier_is_clear("`\xc3\xa9`", 4, &unsure));
  expect(!mp_identifier_is_clear("`\xe8\xa1\xa8`", 5, &utf8));
  expect(mp_identifier_is_clear("`\xe8\xa1\xa8`", 5, &asked));
}

it("keeps a NUL byte in quotes") {
  mp_buffer out = {0};
  mp_encode_string(&out, "a\0b", 3, &utf8, false);
  expect_equal(out.length, 5);
  expect(memcmp(out.data, "'a\0b'", 5) == 0);
  mp_buffer_free(&out);
}

it("quotes UTF-8 as it is when the session speaks it") {
  expect_text(string("h\xc3\xa9llo", utf8), "'h\xc3\xa9llo'");
  expect_text(string("\xe2\x82\xac \xf0\x9f\x98\x80", utf8), "'\xe2\x82\xac \xf0\x9f\x98\x80'");
}

it("is in doubt of text that is not ASCII, while the charset is") {
  static const mp_sql_mode doubtful = {.utf8 = true, .utf8mb4 = true, .utf8_in_doubt = true};
  expect(mp_text_is_in_doubt("\xc3\xa9", 2, &doubtful));
  expect(!mp_text_is_in_doubt("e", 1, &doubtful));
  expect(!mp_text_is_in_doubt("\xc3\xa9", 2, &utf8));
}

it("writes what is not ASCII as hex when the session speaks another charset") {
  expect_text(string("\xc3\xa9", latin1), "_utf8mb4 x'C3A9'");
  expect_text(string("abc'", latin1), "'abc'''");
  expect_text(string("\xe2\x82\xac", mb3), "'\xe2\x82\xac'");
  expect_text(string("\xf0\x9f\x98\x80", mb3), "_utf8mb4 x'F09F9880'");
}

it("writes bytes that are not UTF-8 as binary") {
  expect_text(string("\xff\x27", utf8), "x'FF27'");
  expect_text(string("\xbf\x5c", latin1), "x'BF5C'");
}

it("never quotes where quotes do not protect") {
  expect_text(string_of("*/", 2, utf8, true), "_utf8mb4 x'2A2F'");
  expect_text(string_of("", 0, utf8, true), "_utf8mb4 x''");
  expect_text(string_of("\xff", 1, utf8, true), "x'FF'");
}

it("writes binary as hex, of any length") {
  mp_buffer out = {0};
  char bytes[1000], digits[8];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (char)i;
  mp_sql_mode mode = {0};
  mp_encode_binary(&out, bytes, sizeof bytes, &mode);
  expect_equal(out.length, 2003);
  for (size_t i = 0; i < sizeof bytes; i++) {
    snprintf(digits, sizeof digits, "%02X", (unsigned)i & 255);
    expect(memcmp(out.data + 2 + 2 * i, digits, 2) == 0);
  }
  mp_buffer_free(&out);
  mp_encode_binary(&out, "", 0, &mode);
  expect_text(taken(&out), "x''");
  mode.hex_is_number = true;
  mp_encode_binary(&out, "7", 1, &mode);
  expect_text(taken(&out), "_binary x'37'");
}

it("knows every class of character of UTF-8, and counts them") {
  static const struct {
    const char *bytes;
    size_t count;
  } good[] = {
      {"", 0},
      {"a", 1},
      {"\x7f", 1},
      {"\xc2\x80", 1},
      {"\xdf\xbf", 1},
      {"\xe0\xa0\x80", 1},
      {"\xed\x9f\xbf", 1},
      {"\xee\x80\x80", 1},
      {"\xef\xbf\xbf", 1},
      {"\xf0\x90\x80\x80", 1},
      {"\xf4\x8f\xbf\xbf", 1},
      {"\xf1\x80\x80\x80z", 2},
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    spec_note("row %zu", i);
    expect_equal(mp_utf8_count(good[i].bytes, strlen(good[i].bytes)), good[i].count);
  }
  expect_equal(mp_utf8_count("\0", 1), 1);
}

it("knows every class of bytes that are not UTF-8") {
  static const char *const bad[] = {
      "\x80", /* a continuation alone */
      "\xbf",
      "\xc0\x80", /* overlong */
      "\xc1\xbf",
      "\xc2", /* cut off */
      "\xc2 ",
      "\xc2\xc0",
      "\xdf\x7f",
      "\xe0\x9f\xbf", /* overlong */
      "\xe0\xa0",
      "\xe1\x80",
      "\xe1\x80 ",
      "\xe1 \x80",
      "\xe1\xc0\x80",
      "\xed\xa0\x80", /* surrogates */
      "\xed\xbf\xbf",
      "\xf0\x8f\xbf\xbf", /* overlong */
      "\xf0\x90\x80",
      "\xf1\x80\x80\xc0",
      "\xf1\x80 \x80",
      "\xf4\x90\x80\x80", /* beyond U+10FFFF */
      "\xf5\x80\x80\x80",
      "\xf8\x88\x80\x80\x80",
      "\xfe",
      "\xff",
      "a\xff",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    spec_note("row %zu", i);
    expect(mp_utf8_count(bad[i], strlen(bad[i])) == MP_NOT_UTF8);
  }
}

it("quotes names, doubling the back-ticks in them") {
  expect_text(identifier("users", utf8), "`users`");
  expect_text(identifier("a`b", utf8), "`a``b`");
  expect_text(identifier("a.b 'c' \"\\", utf8), "`a.b 'c' \"\\`");
  expect_text(identifier("\xc3\xa9t\xc3\xa9", utf8), "`\xc3\xa9t\xc3\xa9`");
}

it("refuses names that cannot be quoted safely") {
  expect(!identifier("", utf8));
  expect(!identifier_of("a\0b", 3, utf8));
  expect(!identifier("\xff", utf8));
  expect(!identifier("a\xc3", utf8));
  expect(!identifier("\xc3\xa9", latin1));
  expect_text(identifier("abc", latin1), "`abc`");
}

it("counts characters, not bytes, against the 64 of a name") {
  char name[200] = "";
  for (int i = 0; i < 64; i++)
    strcat(name, "\xc3\xa9");
  expect(identifier(name, utf8));
  strcat(name, "x");
  expect(!identifier(name, utf8));
}

it("grows a buffer as far as needed, and begins anew after it was freed") {
  mp_buffer buffer = {0};
  for (int i = 0; i < 10000; i++)
    mp_buffer_add(&buffer, "0123456789", 10);
  expect_equal(buffer.length, 100000);
  expect(memcmp(buffer.data + 99990, "0123456789", 10) == 0);
  mp_buffer_add(&buffer, NULL, 0);
  expect_equal(buffer.length, 100000);
  mp_buffer_free(&buffer);
  expect(!buffer.data && buffer.length == 0);
}
