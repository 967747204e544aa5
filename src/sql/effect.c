/* Tells by its first word what a statement leaves behind when it fails, and what it does to a
   transaction. */
#include "sql.h"

#include <ctype.h>
#include <string.h>

static bool is_letter(char c) {
  return isalpha((unsigned char)c) || c == '_';
}

static const char *end_of_word(const char *at, const char *end) {
  while (at < end && (is_letter(*at) || isdigit((unsigned char)*at)))
    at++;
  return at;
}

static const char *skip_blank(const char *at, const char *end) {
  mp_scanner scanner;
  mp_scanner_init(&scanner, at, (size_t)(end - at), (mp_reading){0});
  mp_scanner_skip_blank(&scanner);
  return scanner.at;
}

/* The first word, with which most statements begin; others begin with blanks or parentheses. */
static const char *first_word(const char *at, const char *end) {
  if (at < end && is_letter(*at))
    return at;
  at = skip_blank(at, end);
  while (at < end && *at == '(')
    at = skip_blank(at + 1, end);
  return at;
}

/* Takes `word` off the front of the text, if it is the next word. */
static bool take_word(const char **at, const char *end, const char *word, size_t length) {
  const char *from = skip_blank(*at, end), *to = end_of_word(from, end);
  if ((size_t)(to - from) != length || !mp_sql_is_word(from, word, length))
    return false;
  *at = to;
  return true;
}

/* ---- words that need a second one ---- */

static mp_sql_effect of_rollback(const char *at, const char *end) {
  take_word(&at, end, "WORK", 4);
  return take_word(&at, end, "TO", 2) ? MP_EFFECT_WHOLE : MP_EFFECT_ROLLBACK;
}

/* BEGIN NOT ATOMIC is a compound statement; under sql_mode ORACLE so is BEGIN before any other statement. */
static mp_sql_effect of_begin(const char *at, const char *end) {
  take_word(&at, end, "WORK", 4);
  at = skip_blank(at, end);
  return at == end || *at == ';' ? MP_EFFECT_ENDS : MP_EFFECT_PARTIAL;
}

static mp_sql_effect of_start(const char *at, const char *end) {
  return take_word(&at, end, "TRANSACTION", 11) ? MP_EFFECT_ENDS : MP_EFFECT_WHOLE;
}

static mp_sql_effect of_commit(const char *at, const char *end) {
  (void)at;
  (void)end;
  return MP_EFFECT_ENDS;
}

/* Any statement may follow SET STATEMENT … FOR. */
static mp_sql_effect of_set(const char *at, const char *end) {
  return take_word(&at, end, "STATEMENT", 9) ? MP_EFFECT_PARTIAL : MP_EFFECT_WHOLE;
}

/* ---- the list ---- */

/* The most frequent come first. A word without a function is that of a statement which is undone as a
   whole. */
static const struct {
  const char *word;
  size_t length;
  mp_sql_effect (*effect_of)(const char *at, const char *end);
} words[] = {
    {"SELECT", 6, NULL},      {"INSERT", 6, NULL},    {"UPDATE", 6, NULL},    {"DELETE", 6, NULL},
    {"COMMIT", 6, of_commit}, {"START", 5, of_start}, {"BEGIN", 5, of_begin}, {"ROLLBACK", 8, of_rollback},
    {"SET", 3, of_set},       {"REPLACE", 7, NULL},   {"WITH", 4, NULL},      {"VALUES", 6, NULL},
    {"TABLE", 5, NULL},       {"LOAD", 4, NULL},      {"SHOW", 4, NULL},      {"DESCRIBE", 8, NULL},
    {"DESC", 4, NULL},        {"EXPLAIN", 7, NULL},   {"DO", 2, NULL},        {"SAVEPOINT", 9, NULL},
    {"RELEASE", 7, NULL},     {"USE", 3, NULL},
};

/* Nearly all that is worth measuring: the search would be a fiftieth of the cost of a short statement. */
static bool is_plain_select(const char *sql, size_t length) {
  return length > 6 && (memcmp(sql, "SELECT ", 7) == 0 || memcmp(sql, "select ", 7) == 0);
}

mp_sql_effect mp_sql_effect_of(const char *sql, size_t length) {
  if (is_plain_select(sql, length))
    return MP_EFFECT_WHOLE;
  const char *end = sql + length, *from = first_word(sql, end), *to = end_of_word(from, end);
  size_t size = (size_t)(to - from);
  if (from == end)
    return MP_EFFECT_WHOLE; /* nothing that could run */
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (words[i].length == size && mp_sql_is_word(from, words[i].word, size))
      return words[i].effect_of ? words[i].effect_of(to, end) : MP_EFFECT_WHOLE;
  return MP_EFFECT_PARTIAL;
}

/* ---- the charset ---- */

static bool is_set(const char *sql, size_t length) {
  const char *end = sql + length, *at = first_word(sql, end);
  return end - at > 3 && mp_sql_is_word(at, "SET", 3) && end_of_word(at, end) == at + 3;
}

/* The beginnings of NAMES, CHARSET, CHARACTER SET, character_set_…, EXECUTE. */
static bool is_charset_word(const char *at, size_t length) {
  return (length >= 5 && mp_sql_is_word(at, "NAMES", 5)) || (length >= 4 && mp_sql_is_word(at, "CHAR", 4)) ||
         (length >= 7 && mp_sql_is_word(at, "EXECUTE", 7));
}

/* MySQL takes @@ç… for @@c…: what is not ASCII may be a part of the name. */
bool mp_sql_may_set_charset(const char *sql, size_t length, mp_sql_effect effect) {
  if (effect != MP_EFFECT_PARTIAL && !is_set(sql, length))
    return false;
  for (size_t i = 0; i < length; i++)
    if ((unsigned char)sql[i] >= 0x80 || is_charset_word(sql + i, length - i))
      return true;
  return false;
}

/* ---- what may follow at once ---- */

/* No comment and no parenthesis before it, and no server takes it for anything else. */
static bool has_row_word(const char *sql, size_t length) {
  static const char *const row_words[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"};
  const char *end = sql + length;
  while (sql < end && (*sql == ' ' || *sql == '\n' || *sql == '\t' || *sql == '\r'))
    sql++;
  size_t size = (size_t)(end_of_word(sql, end) - sql);
  for (size_t i = 0; i < sizeof row_words / sizeof *row_words; i++)
    if (strlen(row_words[i]) == size && mp_sql_is_word(sql, row_words[i], size))
      return true;
  return false;
}

static bool is_the_end(const char *sql, size_t length) {
  return (length == 6 && memcmp(sql, "COMMIT", 6) == 0) || (length == 8 && memcmp(sql, "ROLLBACK", 8) == 0);
}

bool mp_sql_may_be_followed(const char *sql, size_t length, bool in_transaction) {
  return in_transaction ? is_the_end(sql, length) : is_plain_select(sql, length) || has_row_word(sql, length);
}

void mp_sql_first_word(const char *sql, size_t length, char *word, size_t size) {
  const char *end = sql + length, *from = first_word(sql, end), *to = end_of_word(from, end);
  for (; from < to && size > 1; size--)
    *word++ = mp_sql_capital(*from++);
  *word = '\0';
}
