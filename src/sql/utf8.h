#ifndef MYPOOL_SQL_UTF8_H
#define MYPOOL_SQL_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#define MP_NOT_UTF8 ((size_t)-1)

/* How many characters the bytes are; MP_NOT_UTF8 when they are not UTF-8. */
size_t mp_utf8_count(const char *bytes, size_t length);

bool mp_is_ascii(const char *bytes, size_t length);

#endif
