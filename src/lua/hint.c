/* The mistakes that a server can only call a syntax error. */
#include "hint.h"

#include <ctype.h>
#include <stdio.h>

#include "scrub.h"

/* The statement up to where the server stopped reading. */
typedef struct stop {
  const char *text, *at, *end;
} stop;

static bool is_word_char(char c) {
  return isalnum((unsigned char)c) || c == '_';
}

/* ---- several statements ---- */

/* A body of a routine or a trigger has semicolons; BEGIN may also begin a transaction. */
static bool is_in_body(const stop *s) {
  for (const char *at = s->text; at + 5 <= s->at; at++) {
    if (strncasecmp(at, "begin", 5) != 0)
      continue;
    for (at += 5; at < s->at && isspace((unsigned char)*at); at++)
      ;
    return *at != ';';
  }
  return false;
}

static bool is_second_statement(const stop *s) {
  const char *at = s->at;
  while (at > s->text && isspace((unsigned char)at[-1]))
    at--;
  return at > s->text && at[-1] == ';' && !is_in_body(s);
}

/* ---- a parameter where none can stand ---- */

enum { LONGEST_NAME = 24 };

/* The literal that the server stopped at, or in the middle of. */
static const sql_literal *literal_at(const connection *conn, size_t at) {
  const sql_literal *literals = (const sql_literal *)(const void *)conn->statement.literals.data;
  size_t count = conn->statement.literals.length / sizeof *literals;
  for (size_t i = 0; i < count; i++)
    if (at >= literals[i].start && at < literals[i].start + literals[i].length)
      return &literals[i];
  return NULL;
}

/* The word before a literal: behind LIMIT a number and a comma may stand between. Returns its length. */
static size_t word_before(const char *text, const char *at, const char **word) {
  while (at > text && strchr(" \t\r\n,0123456789", at[-1]))
    at--;
  const char *end = at;
  while (at > text && is_word_char(at[-1]))
    at--;
  *word = at;
  return (size_t)(end - at);
}

static const char *find_word(const char *const *words, const char *text, size_t length) {
  for (; *words; words++)
    if (strlen(*words) == length && strncasecmp(*words, text, length) == 0)
      return *words;
  return NULL;
}

/* Writes "1", or ":name". */
static void write_label(char *out, size_t size, const sql_literal *literal) {
  if (literal->name)
    snprintf(out, size, ":%.*s",
             (int)(literal->name_length < LONGEST_NAME ? literal->name_length : LONGEST_NAME), literal->name);
  else
    snprintf(out, size, "%d", literal->parameter);
}

static void explain_parameter(hint *out, const char *text, const sql_literal *literal) {
  static const char *const counts[] = {"LIMIT", "OFFSET", NULL};
  static const char *const names[] = {"FROM", "JOIN", "INTO", "UPDATE", "TABLE", NULL};
  const char *value = text + literal->start, *word, *found;
  bool is_string = memchr(value, '\'', literal->length), is_float = memchr(value, 'e', literal->length);
  size_t length = word_before(text, value, &word);
  char label[LONGEST_NAME + 2];
  write_label(label, sizeof label, literal);
  if ((is_string || is_float) && (found = find_word(counts, word, length)))
    snprintf(out->text, sizeof out->text, " (parameter %s is a %s, and %s takes an integer)", label,
             is_string ? "string" : "float", found);
  else if (is_string && find_word(names, word, length))
    snprintf(out->text, sizeof out->text, " (parameter %s is a string, and here stands a name: mypool.ident)",
             label);
}

/* ---- all of them ---- */

static void explain(hint *out, const connection *conn, const stop *s) {
  bool encoded = s->text == conn->statement.text.data;
  const sql_literal *literal = encoded ? literal_at(conn, (size_t)(s->at - s->text)) : NULL;
  if (literal)
    explain_parameter(out, s->text, literal);
  else if (*s->at == ':' && s->at + 1 < s->end && is_word_char(s->at[1]))
    strcpy(out->text, " (:name is for mypool.named { name = … })");
  else if (is_second_statement(s))
    strcpy(out->text, " (one statement for each call: this text has several, separated by ';')");
}

/* Where there are parameters the text that was sent is another one than the program's. */
hint hint_at(lua_State *L, const connection *conn, const mp_error *err) {
  hint out = {""};
  syntax_error found;
  const char *text = conn->statement.text.data;
  size_t length = conn->activity >= QUERYING ? conn->statement.text.length : 0;
  if (err->kind != MP_ERR_SERVER || err->code != MP_ER_PARSE_ERROR)
    return out;
  lua_getiuservalue(L, 1, CONNECTION_SQL);
  if (length == 0)
    text = lua_tolstring(L, -1, &length);
  if (text && scrub_find_syntax_error(err, text, length, &found) && found.at)
    explain(&out, conn, &(stop){text, found.at, text + length});
  lua_pop(L, 1);
  return out;
}
