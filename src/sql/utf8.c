/* Is it UTF-8? The strict form of RFC 3629: no surrogates, nothing overlong. */
#include "utf8.h"

#include <string.h>

#include "sql.h"

static size_t continuation(const unsigned char *at, const unsigned char *end, size_t count) {
  if ((size_t)(end - at) < count)
    return 0;
  for (size_t i = 0; i < count; i++)
    if ((at[i] & 0xC0) != 0x80)
      return 0;
  return count + 1;
}

/* The length of the character at `at`, 0 when it is none. */
static size_t character(const unsigned char *at, const unsigned char *end) {
  unsigned char first = at[0], second = end - at > 1 ? at[1] : 0;
  if (first < 0x80)
    return 1;
  if (first >= 0xC2 && first <= 0xDF)
    return continuation(at + 1, end, 1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
    return 0;
  if (first >= 0xE0 && first <= 0xEF)
    return continuation(at + 1, end, 2);
  if (first >= 0xF0 && first <= 0xF4)
    return continuation(at + 1, end, 3);
  return 0;
}

bool mp_is_ascii(const char *bytes, size_t length) {
  const char *at = bytes, *end = bytes + length;
  uint64_t all = 0, eight;
  for (; end - at >= (ptrdiff_t)sizeof eight; at += sizeof eight) {
    memcpy(&eight, at, sizeof eight);
    all |= eight;
  }
  for (; at < end; at++)
    all |= (unsigned char)*at;
  return (all & 0x8080808080808080) == 0;
}

bool mp_is_text(const char *bytes, size_t length) {
  return mp_is_ascii(bytes, length) || mp_utf8_count(bytes, length) != MP_NOT_UTF8;
}

size_t mp_utf8_count(const char *bytes, size_t length) {
  const unsigned char *at = (const unsigned char *)bytes, *end = at + length;
  size_t count = 0;
  while (at < end) {
    size_t width = character(at, end);
    if (width == 0)
      return MP_NOT_UTF8;
    at += width;
    count++;
  }
  return count;
}
