/* Lua's values as SQL literals. Nothing here depends on the state of a session: text
   without a backslash is right in quotes under every sql_mode, text with one goes as hex. */
#include <stdio.h>
#include <string.h>

#include "mypool.h"
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

void mp_encode_integer(mp_buffer *out, int64_t value) {
  char text[24];
  int length = snprintf(text, sizeof text, "%lld", (long long)value);
  mp_buffer_add(out, text, (size_t)length);
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

void mp_encode_binary(mp_buffer *out, const char *bytes, size_t length) {
  add(out, "x'");
  add_hex(out, bytes, length);
  add(out, "'");
}

/* Puts `quote` around the bytes and doubles those inside. */
static void add_quoted(mp_buffer *out, const char *bytes, size_t length, char quote) {
  const char *at = bytes, *end = bytes + length;
  mp_buffer_add(out, &quote, 1);
  while (at < end) {
    const char *found = memchr(at, quote, (size_t)(end - at));
    if (!found)
      break;
    mp_buffer_add(out, at, (size_t)(found - at + 1));
    mp_buffer_add(out, &quote, 1);
    at = found + 1;
  }
  mp_buffer_add(out, at, (size_t)(end - at));
  mp_buffer_add(out, &quote, 1);
}

static bool is_ascii(const char *bytes, size_t length) {
  unsigned char all = 0;
  for (size_t i = 0; i < length; i++)
    all |= (unsigned char)bytes[i];
  return all < 0x80;
}

void mp_encode_string(mp_buffer *out, const char *bytes, size_t length, mp_sql_mode mode, bool hex) {
  bool ascii = is_ascii(bytes, length);
  if (!ascii && mp_utf8_count(bytes, length) == MP_NOT_UTF8) {
    mp_encode_binary(out, bytes, length);
  } else if (hex || length == 0 || memchr(bytes, '\\', length) || (!ascii && !mode.utf8)) {
    add(out, "_utf8mb4 ");
    mp_encode_binary(out, bytes, length);
  } else {
    add_quoted(out, bytes, length, '\'');
  }
}

/* Under a multi-byte charset such as gbk the last byte of a character and the closing
   back-tick could read as one character: there only ASCII names are safe. */
bool mp_encode_identifier(mp_buffer *out, const char *bytes, size_t length, mp_sql_mode mode) {
  size_t characters = mp_utf8_count(bytes, length);
  if (length == 0 || characters == MP_NOT_UTF8 || characters > 64 || memchr(bytes, '\0', length))
    return false;
  if (!mode.utf8 && !is_ascii(bytes, length))
    return false;
  add_quoted(out, bytes, length, '`');
  return true;
}
