/* Finds placeholders, and the ends of statements, in SQL text: what stands in quotes,
   comments and quoted names does not count. The rules are those of the server's lexer
   (MariaDB knowledge base, "Comment Syntax", "String Literals", "Identifier Names"). */
#include <ctype.h>
#include <string.h>

#include "scan.h"

void mp_scanner_init(mp_scanner *scanner, const char *sql, size_t length, bool no_backslash_escapes) {
  *scanner = (mp_scanner){.at = sql, .end = sql + length, .no_backslash_escapes = no_backslash_escapes};
}

/* Past the closing quote; a doubled quote needs no care: it closes and opens again. Within
   back-ticks a backslash is an ordinary character. */
static void skip_quoted(mp_scanner *scanner, char quote) {
  bool escapes = quote != '`' && !scanner->no_backslash_escapes;
  while (scanner->at < scanner->end) {
    char c = *scanner->at++;
    if (c == quote)
      return;
    if (c == '\\' && escapes && scanner->at < scanner->end)
      scanner->at++;
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

/* After a slash. What an executable comment holds is SQL: go into it. */
static void slash(mp_scanner *scanner) {
  if (byte_at(scanner, 0) != '*')
    return;
  scanner->at++;
  bool executable = byte_at(scanner, 0) == '!' || (byte_at(scanner, 0) == 'M' && byte_at(scanner, 1) == '!');
  if (executable)
    scanner->in_executable_comment = true;
  else
    skip_block(scanner);
}

/* After a dash: two of them begin a comment only before white space, a control character or the end. */
static void dash(mp_scanner *scanner) {
  if (byte_at(scanner, 0) != '-')
    return;
  unsigned char next = (unsigned char)byte_at(scanner, 1);
  if (next <= ' ' || next == 127)
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

const char *mp_scanner_find(mp_scanner *scanner, char wanted) {
  while (scanner->at < scanner->end) {
    char c = *scanner->at++;
    if (c == wanted)
      return scanner->at - 1;
    switch (c) {
    case '\'':
    case '"':
    case '`':
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
