/* Finds the words of statements that take a lock for their session, or only read. */
#include "sql.h"

#include <ctype.h>

/* The word is the one that is wanted, in upper or lower case of ASCII, whatever the locale. `wanted`: upper
   case. */
static bool is_same_word(const char *word, size_t length, const char *wanted) {
  for (; length > 0; length--)
    if ((*word++ & ~0x20) != *wanted++)
      return false;
  return *wanted == '\0';
}

/* The statement may take a lock, by a glance at every fourth byte, which as a rule tells that it does not. */
bool mp_sql_may_lock(const char *sql, size_t length) {
  size_t at = 3;
  while (at < length) {
    switch (sql[at] | 0x20) {
    case 'k':
      if (is_same_word(sql + at - 3, 4, "LOCK"))
        return true;
      at++;
      break;
    case 'c':
      at++;
      break;
    case 'o':
      at += 2;
      break;
    case 'l':
      at += 3;
      break;
    default:
      at += 4;
    }
  }
  return false;
}

/* A walk over the words and signs of a statement. */
typedef struct walk {
  mp_scanner scanner;
  const char *token, *before; /* "": none */
  size_t length;              /* of a word; 0: it is none */
  size_t length_before;
} walk;

static void walk_init(walk *self, const char *sql, size_t length, mp_reading reading) {
  *self = (walk){.token = "", .before = ""};
  mp_scanner_init(&self->scanner, sql, length, reading);
}

static bool walk_on(walk *self) {
  self->before = self->token;
  self->length_before = self->length;
  mp_scanner_skip_blank(&self->scanner);
  if (self->scanner.at >= self->scanner.end)
    return false;
  self->token = self->scanner.at;
  self->length = mp_scanner_skip_token(&self->scanner);
  return true;
}

static bool is_at_word(const walk *self, const char *word) {
  return is_same_word(self->token, self->length, word);
}

static bool is_behind_word(const walk *self, const char *word) {
  return is_same_word(self->before, self->length_before, word);
}

/* Past the signs and numbers before it: parentheses, or the beginning of an executable comment. */
static bool walk_to_first_word(walk *self) {
  while (walk_on(self))
    if (self->length > 0 && !isdigit((unsigned char)*self->token))
      return true;
  return false;
}

/* LOCK TABLES, LOCK INSTANCE, BACKUP LOCK, FLUSH … WITH READ LOCK. GRANT LOCK TABLES takes none. */
static bool is_lock_statement(walk self) {
  if (is_at_word(&self, "LOCK"))
    return true;
  bool flush = is_at_word(&self, "FLUSH");
  if (!flush && !is_at_word(&self, "BACKUP"))
    return false;
  while (walk_on(&self))
    if (is_at_word(&self, "LOCK") && is_behind_word(&self, flush ? "READ" : "BACKUP"))
      return true;
  return false;
}

static bool is_routine(const walk *self) {
  static const char *const words[] = {"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "VIEW", "PACKAGE"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (is_at_word(self, words[i]))
      return true;
  return false;
}

/* The statements of a routine do not run when it is made. */
static bool has_get_lock(walk self) {
  bool defines = is_at_word(&self, "CREATE") || is_at_word(&self, "ALTER");
  bool named = false;
  do {
    if (defines && is_routine(&self))
      return false;
    if (named && *self.token == '(')
      return true;
    named = is_at_word(&self, "GET_LOCK") && *self.before != '.';
  } while (walk_on(&self));
  return false;
}

bool mp_sql_is_locking(const char *sql, size_t length, mp_reading reading) {
  walk self;
  if (!mp_sql_may_lock(sql, length))
    return false;
  walk_init(&self, sql, length, reading);
  return walk_to_first_word(&self) && (is_lock_statement(self) || has_get_lock(self));
}

/* WITH may stand before an UPDATE or DELETE, in MySQL. */
static bool is_with_read(walk self) {
  while (walk_on(&self))
    if (is_at_word(&self, "UPDATE") || is_at_word(&self, "DELETE"))
      return false;
  return true;
}

bool mp_sql_is_read_only(const char *sql, size_t length, mp_reading reading) {
  static const char *const words[] = {"SELECT",   "SHOW", "VALUES",  "TABLE",
                                      "DESCRIBE", "DESC", "EXPLAIN", "HELP"};
  walk self;
  walk_init(&self, sql, length, reading);
  if (!walk_to_first_word(&self))
    return true;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (is_at_word(&self, words[i]))
      return true;
  return is_at_word(&self, "WITH") && is_with_read(self);
}
