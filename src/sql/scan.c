/* Finds placeholders, and the ends of statements, in SQL text: what stands in quotes,
   comments and quoted names does not count. The rules are those of the server's lexer
   (MariaDB knowledge base, "Comment Syntax", "String Literals", "Identifier Names"). */
#include "sql.h"

#include <ctype.h>
#include <string.h>

#include "utf8.h"

void mp_scanner_init(mp_scanner *scanner, const char *sql, size_t length, mp_reading reading) {
  *scanner = (mp_scanner){.sql = sql, .at = sql, .end = sql + length, .reading = reading};
}

/* ---- characters ---- */

static bool is_high(char c) {
  return (unsigned char)c >= 0x80;
}

/* Two bytes, the first of them above 0x7F, are one character. Those of other charsets, and longer ones, hold
   no ASCII that matters here. */
static bool is_pair(mp_charset charset, char lead, char trail) {
  unsigned char a = (unsigned char)lead, b = (unsigned char)trail;
  bool low = b >= 0x40 && b <= 0x7E;
  switch (charset) {
  case MP_CHARSET_GBK:
    return a >= 0x81 && a <= 0xFE && (low || (b >= 0x80 && b <= 0xFE));
  case MP_CHARSET_SJIS:
    return ((a >= 0x81 && a <= 0x9F) || (a >= 0xE0 && a <= 0xFC)) && (low || (b >= 0x80 && b <= 0xFC));
  case MP_CHARSET_BIG5:
    return a >= 0xA1 && a <= 0xF9 && (low || (b >= 0xA1 && b <= 0xFE));
  default:
    return false;
  }
}

/* Behind a first byte: past the second, if it has one. */
static void skip_rest(mp_scanner *scanner) {
  if (scanner->at < scanner->end && is_pair(scanner->reading.charset, scanner->at[-1], *scanner->at))
    scanner->at++;
}

/* Behind a back-tick: another charset may have taken it for part of a character. */
static bool is_behind_high(const mp_scanner *scanner) {
  return scanner->at - scanner->sql > 1 && is_high(scanner->at[-2]);
}

/* ---- quotes and comments ---- */

static bool has_escapes(const mp_reading *reading, char quote) {
  bool text = quote == '\'' || (quote == '"' && !reading->ansi_quotes);
  return text && !reading->no_backslash_escapes;
}

/* Past the closing quote; a doubled quote needs no care: it closes and opens again. Within
   a quoted name a backslash is an ordinary character. */
static void skip_quoted(mp_scanner *scanner, char quote) {
  bool escapes = has_escapes(&scanner->reading, quote);
  while (scanner->at < scanner->end) {
    char c = *scanner->at++;
    if (is_high(c))
      skip_rest(scanner);
    if (c == '\\' && quote != '`')
      scanner->doubtful = true;
    if (c == '\\' && escapes && scanner->at < scanner->end)
      scanner->at++;
    if (c != quote)
      continue;
    scanner->doubtful |= c == '`' && is_behind_high(scanner);
    return;
  }
}

static void skip_line(mp_scanner *scanner) {
  const char *newline = memchr(scanner->at, '\n', (size_t)(scanner->end - scanner->at));
  scanner->at = newline ? newline + 1 : scanner->end;
}

static void skip_block(mp_scanner *scanner) {
  while (scanner->at < scanner->end) {
    if (*scanner->at++ == '*' && scanner->at < scanner->end && *scanner->at == '/') {
      scanner->at++;
      return;
    }
  }
}

static char byte_at(const mp_scanner *scanner, size_t offset) {
  return (size_t)(scanner->end - scanner->at) > offset ? scanner->at[offset] : '\0';
}

/* An executable comment that asks for another version: one comment may stand within it. */
static void skip_version(mp_scanner *scanner) {
  while (scanner->at < scanner->end) {
    char c = *scanner->at++;
    if (c == '*' && byte_at(scanner, 0) == '/') {
      scanner->at++;
      return;
    }
    if (c == '/' && byte_at(scanner, 0) == '*') {
      scanner->at++;
      skip_block(scanner);
    }
  }
}

/* The text of an executable comment is SQL: go into it. */
static void enter_executable(mp_scanner *scanner) {
  scanner->doubtful = true;
  if (scanner->reading.skips_versions && !scanner->in_executable_comment)
    skip_version(scanner);
  else
    scanner->in_executable_comment = true;
}

/* After a slash. */
static void slash(mp_scanner *scanner) {
  if (byte_at(scanner, 0) != '*')
    return;
  scanner->at++;
  if (byte_at(scanner, 0) == '!' || (byte_at(scanner, 0) == 'M' && byte_at(scanner, 1) == '!'))
    enter_executable(scanner);
  else
    skip_block(scanner);
}

/* After a dash: two of them begin a comment only before white space, a control character or the end. */
static void dash(mp_scanner *scanner) {
  if (byte_at(scanner, 0) != '-')
    return;
  unsigned char next = (unsigned char)byte_at(scanner, 1);
  bool high = next >= 0x80;
  scanner->doubtful |= high;
  if (next <= ' ' || next == 127 || (high && scanner->reading.charset == MP_CHARSET_BYTES))
    skip_line(scanner);
}

/* After a star. The slash that ends an executable comment is used up: a star behind it does
   not begin another comment. Elsewhere a star is multiplication. */
static void star(mp_scanner *scanner) {
  if (!scanner->in_executable_comment || byte_at(scanner, 0) != '/')
    return;
  scanner->in_executable_comment = false;
  scanner->at++;
}

/* ASCII that is more than itself outside of quotes, as a rule not much of a text. */
static const bool is_mark[0x80] = {
    ['`'] = true, ['\''] = true, ['"'] = true, ['#'] = true, ['/'] = true, ['-'] = true, ['*'] = true};

/* Skips ordinary characters up to the next mark, or the wanted one. False at the end. */
static bool skip_plain(mp_scanner *scanner, char wanted) {
  const char *at = scanner->at, *end = scanner->end;
  while (at < end && *at != wanted && !is_high(*at) && !is_mark[(unsigned char)*at])
    at++;
  scanner->at = at;
  return at < end;
}

const char *mp_scanner_find(mp_scanner *scanner, char wanted) {
  while (skip_plain(scanner, wanted)) {
    char c = *scanner->at++;
    if (c == wanted)
      return scanner->at - 1;
    switch (c) {
    case '`':
      scanner->doubtful |= is_behind_high(scanner);
      /* fall through */
    case '\'':
    case '"':
      skip_quoted(scanner, c);
      break;
    case '#':
      skip_line(scanner);
      break;
    case '/':
      slash(scanner);
      break;
    case '-':
      dash(scanner);
      break;
    case '*':
      star(scanner);
      break;
    default:
      if (is_high(c))
        skip_rest(scanner);
    }
  }
  return NULL;
}

/* True when there was a comment to skip. */
static bool skip_comment(mp_scanner *scanner) {
  const char *from = scanner->at++;
  switch (*from) {
  case '#':
    skip_line(scanner);
    break;
  case '-':
    dash(scanner);
    break;
  case '/':
    slash(scanner);
    break;
  }
  if (scanner->at > from + 1 && !scanner->in_executable_comment)
    return true;
  scanner->at = from;
  return false;
}

void mp_scanner_skip_blank(mp_scanner *scanner) {
  do
    while (scanner->at < scanner->end && isspace((unsigned char)*scanner->at))
      scanner->at++;
  while (scanner->at < scanner->end && skip_comment(scanner));
}

const char *mp_scanner_next(mp_scanner *scanner) {
  return mp_scanner_find(scanner, '?');
}

/* ---- words ---- */

static bool is_word_char(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '$' || is_high(c);
}

size_t mp_scanner_skip_token(mp_scanner *scanner) {
  const char *from = scanner->at++;
  if (*from == '\'' || *from == '"' || *from == '`') {
    skip_quoted(scanner, *from);
    return 0;
  }
  while (is_word_char(*from) && scanner->at < scanner->end && is_word_char(*scanner->at))
    scanner->at++;
  return is_word_char(*from) ? (size_t)(scanner->at - from) : 0;
}

/* ---- positions of whole numbers ---- */

static bool is_one_of(const char *word, size_t length, const char *const *words) {
  for (; *words; words++)
    if (strlen(*words) == length && mp_sql_is_word(word, *words, length))
      return true;
  return false;
}

typedef enum number_position { ELSEWHERE, BEHIND_LIMIT, BEHIND_COUNT, WHOLE_NUMBER } number_position;

/* The position behind a token. LIMIT takes two numbers, with a comma between them. */
static number_position position_behind(number_position before, const char *token, size_t word) {
  static const char *const limit[] = {"LIMIT", NULL}, *const others[] = {"OFFSET", "EXAMINED", "FIRST",
                                                                         "NEXT", NULL};
  if (is_one_of(token, word, limit))
    return BEHIND_LIMIT;
  if (is_one_of(token, word, others))
    return WHOLE_NUMBER;
  if (before == BEHIND_LIMIT && (*token == '?' || isdigit((unsigned char)*token)))
    return BEHIND_COUNT;
  return before == BEHIND_COUNT && *token == ',' ? WHOLE_NUMBER : ELSEWHERE;
}

bool mp_scanner_needs_whole(const mp_scanner *found) {
  mp_scanner scanner;
  number_position position = ELSEWHERE;
  mp_scanner_init(&scanner, found->sql, (size_t)(found->at - 1 - found->sql), found->reading);
  for (mp_scanner_skip_blank(&scanner); scanner.at < scanner.end; mp_scanner_skip_blank(&scanner)) {
    const char *token = scanner.at;
    position = position_behind(position, token, mp_scanner_skip_token(&scanner));
  }
  return position == BEHIND_LIMIT || position == WHOLE_NUMBER;
}

/* ---- all readings ---- */

/* The next one that `other` must find, too. */
static const char *next_common(mp_scanner *scanner, const mp_reading *other, char wanted) {
  const char *found;
  do
    found = mp_scanner_find(scanner, wanted);
  while (found && other->skips_versions && scanner->in_executable_comment);
  return found;
}

static bool is_alike(const char *sql, size_t length, mp_reading one, mp_reading other, char wanted) {
  mp_scanner a, b;
  const char *found;
  mp_scanner_init(&a, sql, length, one);
  mp_scanner_init(&b, sql, length, other);
  do {
    found = next_common(&a, &other, wanted);
    if (mp_scanner_find(&b, wanted) != found || (found && a.in_executable_comment != b.in_executable_comment))
      return false;
  } while (found);
  return true;
}

/* ASCII is the same in all charsets. */
static bool may_be_charset(const mp_sql_mode *mode, mp_charset charset, bool ascii) {
  mp_charset believed = mode->reading.charset;
  if (charset == believed)
    return true;
  return !ascii && (!mode->charset_known || (believed == MP_CHARSET_BYTES && charset == MP_CHARSET_PLAIN));
}

static bool is_open(const mp_sql_mode *mode, const mp_reading *reading, bool ascii) {
  const mp_reading *believed = &mode->reading;
  if (mode->escapes_known && reading->no_backslash_escapes != believed->no_backslash_escapes)
    return false;
  if (mode->quotes_known && reading->ansi_quotes != believed->ansi_quotes)
    return false;
  return may_be_charset(mode, reading->charset, ascii);
}

bool mp_scanner_is_certain(const char *sql, size_t length, const mp_sql_mode *mode, char wanted) {
  bool ascii = mp_is_ascii(sql, length);
  for (unsigned i = 0; i < 8 * MP_CHARSETS; i++) {
    mp_reading reading = {.no_backslash_escapes = i & 1,
                          .ansi_quotes = i & 2,
                          .skips_versions = i & 4,
                          .charset = (mp_charset)(i >> 3)};
    if (is_open(mode, &reading, ascii) && !is_alike(sql, length, mode->reading, reading, wanted))
      return false;
  }
  return true;
}

bool mp_sql_is_certain(const char *sql, size_t length, const mp_sql_mode *mode) {
  return mp_scanner_is_certain(sql, length, mode, '?');
}
