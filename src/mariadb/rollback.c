/* Recognises ROLLBACK, the one statement that a transaction which the server has already
   undone still allows. */
#include <ctype.h>
#include <strings.h>

#include "scan.h"

/* Takes `word` off the front of the text, if it is the next word. */
static bool take_word(const char **at, const char *end, const char *word, size_t length) {
  mp_scanner scanner;
  mp_scanner_init(&scanner, *at, (size_t)(end - *at), (mp_reading){0});
  mp_scanner_skip_blank(&scanner);
  const char *from = scanner.at;
  if ((size_t)(end - from) < length || strncasecmp(from, word, length) != 0)
    return false;
  if (from + length < end && (isalnum((unsigned char)from[length]) || from[length] == '_'))
    return false;
  *at = from + length;
  return true;
}

/* Most statements begin with another letter. */
static bool begins_otherwise(const char *sql, size_t length) {
  return length == 0 || (isalpha((unsigned char)*sql) && (*sql | 0x20) != 'r');
}

bool mp_sql_is_rollback(const char *sql, size_t length) {
  const char *at = sql, *end = sql + length;
  if (begins_otherwise(sql, length) || !take_word(&at, end, "ROLLBACK", 8))
    return false;
  take_word(&at, end, "WORK", 4);
  return !take_word(&at, end, "TO", 2);
}
