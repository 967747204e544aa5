/* Lua's values as SQL literals. Text is a literal of the connection's collation whatever it holds, so that it
   mixes with other text. An undoubled backslash is never sent: where the server escapes it would be one step
   to an injection, as it is to double what is the second byte of a character to the server. */
#include "sql.h"

#include <string.h>

#include "utf8.h"

static void add(mp_buffer *out, const char *text) {
  mp_buffer_add(out, text, strlen(text));
}

void mp_encode_null(mp_buffer *out) {
  add(out, "NULL");
}

void mp_encode_boolean(mp_buffer *out, bool value) {
  add(out, value ? "TRUE" : "FALSE");
}

/* By hand: snprintf would cost as much as the rest of a parameter. */
void mp_encode_integer(mp_buffer *out, int64_t value) {
  char text[24], *end = text + sizeof text, *at = end;
  uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do {
    *--at = (char)('0' + left % 10);
    left /= 10;
  } while (left > 0);
  if (value < 0)
    *--at = '-';
  mp_buffer_add(out, at, (size_t)(end - at));
}

/* Without an exponent the server would take the number for a DECIMAL (MariaDB knowledge base, "Numeric
   Literals"). */
void mp_encode_float(mp_buffer *out, double value) {
  char text[MP_FLOAT_ROOM];
  mp_buffer_add(out, text, mp_write_float(text, value));
  if (!strchr(text, 'e'))
    add(out, "e0");
}

static void add_hex(mp_buffer *out, const char *bytes, size_t length) {
  static const char digits[] = "0123456789ABCDEF";
  char chunk[512];
  size_t used = 0;
  for (size_t i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)bytes[i];
    chunk[used++] = digits[byte >> 4];
    chunk[used++] = digits[byte & 15];
    if (used == sizeof chunk) {
      mp_buffer_add(out, chunk, used);
      used = 0;
    }
  }
  mp_buffer_add(out, chunk, used);
}

static void add_hex_literal(mp_buffer *out, const char *bytes, size_t length) {
  add(out, "x'");
  add_hex(out, bytes, length);
  add(out, "'");
}

/* MySQL takes the bare literal for a number where one may stand (manual, "Hexadecimal Literals"). */
void mp_encode_binary(mp_buffer *out, const char *bytes, size_t length, const mp_sql_mode *mode) {
  if (mode->hex_is_number)
    add(out, "_binary ");
  add_hex_literal(out, bytes, length);
}

/* Doubles each `wanted` in the bytes. */
static void add_doubled(mp_buffer *out, const char *bytes, size_t length, char wanted) {
  const char *at = bytes, *end = bytes + length;
  while (at < end) {
    const char *found = memchr(at, wanted, (size_t)(end - at));
    if (!found)
      break;
    mp_buffer_add(out, at, (size_t)(found - at + 1));
    mp_buffer_add(out, &wanted, 1);
    at = found + 1;
  }
  mp_buffer_add(out, at, (size_t)(end - at));
}

/* Puts `quote` around the bytes and doubles those inside. */
static void add_quoted(mp_buffer *out, const char *bytes, size_t length, char quote) {
  mp_buffer_add(out, &quote, 1);
  add_doubled(out, bytes, length, quote);
  mp_buffer_add(out, &quote, 1);
}

/* The same, and doubles backslashes. */
static void add_escaped(mp_buffer *out, const char *bytes, size_t length) {
  const char *at = bytes, *end = bytes + length;
  add(out, "'");
  while (at < end) {
    const char *found = memchr(at, '\\', (size_t)(end - at));
    const char *stop = found ? found + 1 : end;
    add_doubled(out, at, (size_t)(stop - at), '\'');
    if (found)
      add(out, "\\");
    at = stop;
  }
  add(out, "'");
}

/* ---- text ---- */

/* Doubling its backslashes is right where the server surely escapes, and where it surely has none of them
   for the second byte of a character. */
static bool may_double(const char *bytes, size_t length, const mp_sql_mode *mode) {
  if (!mode->escapes_known || mode->reading.no_backslash_escapes)
    return false;
  for (const char *at = bytes + 1; at < bytes + length; at++)
    if (*at == '\\' && (unsigned char)at[-1] >= 0x80)
      return false;
  return true;
}

/* A sign that the text does not have, and that is no second byte of a character in any charset; 0: none. */
static char free_sign(const char *bytes, size_t length) {
  for (const char *sign = "!#$%&()*+,-./:;"; *sign; sign++)
    if (!memchr(bytes, *sign, length))
      return *sign;
  return 0;
}

/* Text with a backslash, right whether the server escapes or not: of '\\\\' one backslash is left in either
   case, which takes the place of a sign. It is of the connection's collation and as coercible as a
   literal. */
static void add_replaced(mp_buffer *out, const char *bytes, size_t length, char sign) {
  size_t start = out->length;
  add(out, "REPLACE(");
  add_quoted(out, bytes, length, '\'');
  for (char *at = out->failed ? NULL : out->data + start; at && at < out->data + out->length; at++)
    if (*at == '\\')
      *at = sign;
  add(out, ",'");
  mp_buffer_add(out, &sign, 1);
  add(out, "',LEFT('\\\\',1))");
}

static void add_hex_text(mp_buffer *out, const char *bytes, size_t length) {
  add(out, "_utf8mb4 ");
  add_hex_literal(out, bytes, length);
}

static void add_text(mp_buffer *out, const char *bytes, size_t length, const mp_sql_mode *mode) {
  char sign = 0;
  if (length == 0 && mode->empty_string_is_null)
    add(out, "LEFT('a',0)");
  else if (length == 0 || !memchr(bytes, '\\', length))
    add_quoted(out, bytes, length, '\'');
  else if (may_double(bytes, length, mode))
    add_escaped(out, bytes, length);
  else if ((sign = free_sign(bytes, length)))
    add_replaced(out, bytes, length, sign);
  else
    add_hex_text(out, bytes, length);
}

/* utf8mb3 has no characters of four bytes. */
static bool is_in_charset(const char *bytes, size_t length, const mp_sql_mode *mode) {
  for (size_t i = 0; mode->utf8 && !mode->utf8mb4 && i < length; i++)
    if ((unsigned char)bytes[i] >= 0xF0)
      return false;
  return mode->utf8;
}

bool mp_text_is_in_charset(const char *bytes, size_t length, const mp_sql_mode *mode) {
  return mp_is_ascii(bytes, length) || is_in_charset(bytes, length, mode);
}

bool mp_text_is_in_doubt(const char *bytes, size_t length, const mp_sql_mode *mode) {
  return mode->utf8_in_doubt && !mp_is_ascii(bytes, length);
}

void mp_encode_string(mp_buffer *out, const char *bytes, size_t length, const mp_sql_mode *mode, bool hex) {
  bool ascii = mp_is_ascii(bytes, length);
  if (!ascii && mp_utf8_count(bytes, length) == MP_NOT_UTF8)
    mp_encode_binary(out, bytes, length, mode);
  else if (hex || !(ascii || is_in_charset(bytes, length, mode)))
    add_hex_text(out, bytes, length);
  else
    add_text(out, bytes, length, mode);
}

/* ---- names ---- */

/* Under a multi-byte charset such as gbk the last byte of a character and the closing
   back-tick could read as one character: there only ASCII names are safe. */
bool mp_encode_identifier(mp_buffer *out, const char *bytes, size_t length, const mp_sql_mode *mode) {
  size_t characters = mp_utf8_count(bytes, length);
  if (length == 0 || characters == MP_NOT_UTF8 || characters > 64 || memchr(bytes, '\0', length))
    return false;
  if (!mode->utf8 && !mp_is_ascii(bytes, length))
    return false;
  add_quoted(out, bytes, length, '`');
  return true;
}

bool mp_identifier_is_clear(const char *quoted, size_t length, const mp_sql_mode *mode) {
  mp_buffer followed = {0};
  if (mp_is_ascii(quoted, length))
    return true;
  mp_buffer_add(&followed, quoted, length);
  add(&followed, "?");
  bool clear = !followed.failed && mp_sql_is_certain(followed.data, followed.length, mode);
  mp_buffer_free(&followed);
  return clear;
}
