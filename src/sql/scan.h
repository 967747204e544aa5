/* The scanner for other marks than placeholders. */
#ifndef MYPOOL_MARIADB_SCAN_H
#define MYPOOL_MARIADB_SCAN_H

#include "mypool.h"

/* Letters of SQL's words, which are ASCII: under a Turkish locale i and I are no pair. */
static inline char mp_sql_capital(char c) {
  return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Whether the text, of that length, is this word, in capitals or not. */
static inline bool mp_sql_is_word(const char *text, const char *word, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (mp_sql_capital(text[i]) != mp_sql_capital(word[i]))
      return false;
  return true;
}

/* The next `wanted` that is neither quoted nor in a comment; NULL after the last. */
const char *mp_scanner_find(mp_scanner *scanner, char wanted);

/* As mp_sql_reads_alike, for each `wanted`. */
bool mp_scanner_reads_alike(const char *sql, size_t length, const mp_sql_mode *mode, char wanted);

/* Moves past white space and comments that hold no SQL. */
void mp_scanner_skip_blank(mp_scanner *scanner);

/* Past a word, a number, something quoted or a sign. Returns the length of a word or number, else 0. */
size_t mp_scanner_skip_token(mp_scanner *scanner);

/* What a statement leaves behind when it fails, and what it does to a transaction when it does not. */
typedef enum mp_sql_effect {
  MP_EFFECT_PARTIAL, /* a part of it may stay, and it may end a transaction: CALL, DDL, compound statements */
  MP_EFFECT_WHOLE,   /* the server undoes all of it */
  MP_EFFECT_ENDS,    /* the same; it ends the transaction that is open: COMMIT, START TRANSACTION, BEGIN */
  MP_EFFECT_ROLLBACK /* the same; it undoes that: ROLLBACK, but not to a savepoint */
} mp_sql_effect;
mp_sql_effect mp_sql_effect_of(const char *sql, size_t length);

/* Copies the first word in capitals, as much of it as there is room for, and a NUL byte. */
void mp_sql_first_word(const char *sql, size_t length, char *word, size_t size);

#endif
