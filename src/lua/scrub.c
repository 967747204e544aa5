/* Takes the values of parameters out of the server's messages, which quote them: a message
   ends in logs, where a value may not be. */
#include "scrub.h"

#include <ctype.h>

typedef struct message {
  char text[sizeof((mp_error *)0)->message];
  size_t length;
} message;

static void add(message *out, const char *bytes, size_t length) {
  size_t room = sizeof out->text - 1 - out->length;
  memcpy(out->text + out->length, bytes, length < room ? length : room);
  out->length += length < room ? length : room;
  out->text[out->length] = '\0';
}

/* What stands in the place of a value. */
static void hide(message *out) {
  static const char hidden[] = "<parameter>";
  add(out, hidden, sizeof hidden - 1);
}

static void take(mp_error *err, const message *clean) {
  memcpy(err->message, clean->text, clean->length + 1);
}

static const char *find_last(const char *text, const char *piece) {
  const char *found = NULL;
  for (const char *at = text; (at = strstr(at, piece)); at++)
    found = at;
  return found;
}

/* ---- a syntax error: near '<the rest of the statement>' at line 1 ---- */

/* Rewrites the piece of the statement that begins at `at`, without its literals. */
static void add_template(message *out, const connection *conn, size_t at, size_t end) {
  const sql_literal *literals = (const sql_literal *)(const void *)conn->statement.literals.data;
  size_t count = conn->statement.literals.length / sizeof *literals;
  for (size_t i = 0; i < count && at < end; i++) {
    size_t stop = literals[i].start + literals[i].length;
    if (stop <= at || literals[i].start >= end)
      continue;
    if (literals[i].start > at)
      add(out, conn->statement.text.data + at, literals[i].start - at);
    hide(out);
    at = stop;
  }
  if (at < end)
    add(out, conn->statement.text.data + at, end - at);
}

/* The piece goes to the end of the statement, unless the server cut it off, which it may show by
   three dots; maybe in the middle of a literal. */
static const char *find_piece(const char *text, size_t size, const char *piece, size_t *length) {
  if (*length > 0 && *length <= size && memcmp(text + size - *length, piece, *length) == 0)
    return text + size - *length;
  if (*length > 3 && memcmp(piece + *length - 3, "...", 3) == 0)
    *length -= 3;
  return *length > 0 && size > 0 ? memmem(text, size, piece, *length) : NULL;
}

bool scrub_find_syntax_error(const mp_error *err, const char *text, size_t length, syntax_error *found) {
  const char *piece = strstr(err->message, " near '");
  found->tail = find_last(err->message, "' at line ");
  if (!piece || !found->tail || (piece += 7) > found->tail)
    return false;
  found->quoted = piece;
  found->length = (size_t)(found->tail - piece);
  found->at = find_piece(text, length, piece, &found->length);
  return true;
}

static bool scrub_syntax_error(mp_error *err, const connection *conn) {
  message clean = {.length = 0};
  const mp_buffer *text = &conn->statement.text;
  syntax_error found;
  if (!scrub_find_syntax_error(err, text->data, text->length, &found))
    return false;
  add(&clean, err->message, (size_t)(found.quoted - err->message));
  if (found.at) {
    size_t at = (size_t)(found.at - text->data);
    add_template(&clean, conn, at, at + found.length);
  }
  add(&clean, found.tail, strlen(found.tail));
  take(err, &clean);
  return true;
}

/* ---- messages that are known to quote a value, often in a form that nobody gave ---- */

static const struct {
  const char *before, *after; /* NULL: the last quote */
} frames[] = {
    {"Duplicate entry '", "' for key "}, {" value: '", "' for column "},
    {" value: '", "' for function "},    {" value: '", NULL},
    {" the value of '", NULL},           {" is out of range in '", NULL},
    {"XPATH syntax error: '", NULL},
};

static bool scrub_frame(mp_error *err, const char *before, const char *after) {
  message clean = {.length = 0};
  const char *start = strstr(err->message, before), *end;
  if (!start)
    return false;
  start += strlen(before);
  end = after ? find_last(start, after) : strrchr(start, '\'');
  if (!end && after)
    return false;
  add(&clean, err->message, (size_t)(start - err->message));
  hide(&clean);
  if (end)
    add(&clean, end, strlen(end));
  take(err, &clean);
  return true;
}

static bool scrub_frames(mp_error *err) {
  for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
    if (scrub_frame(err, frames[i].before, frames[i].after))
      return true;
  return false;
}

/* ---- other messages: the value itself ---- */

static int digit(char c) {
  return c <= '9' ? c - '0' : c - 'A' + 10;
}

static void read_hex(mp_buffer *value, const char *at, const char *end) {
  for (; at + 1 < end; at += 2) {
    char byte = (char)(digit(at[0]) << 4 | digit(at[1]));
    mp_buffer_add(value, &byte, 1);
  }
}

/* Reads a literal in quotes; `end` is behind the closing one, or further. Of two quotes, or two backslashes,
   one counts. */
static const char *read_quoted(mp_buffer *value, const char *at, const char *end) {
  for (; at < end; at++) {
    bool doubled = (*at == '\'' || *at == '\\') && at + 1 < end && at[1] == *at;
    if (*at == '\'' && !doubled)
      break;
    mp_buffer_add(value, at, 1);
    at += doubled;
  }
  return at;
}

/* Reads REPLACE('text','sign',…). */
static void read_replaced(mp_buffer *value, const char *at, const char *end) {
  const char *sign = read_quoted(value, at, end) + 3;
  for (size_t i = 0; sign < end && !value->failed && i < value->length; i++)
    if (value->data[i] == *sign)
      value->data[i] = '\\';
}

/* Reads a literal back into the value it stands for; LEFT('a',0) is too short to be looked for. */
static void read_literal(mp_buffer *value, const char *text, size_t length) {
  const char *quote = memchr(text, '\'', length), *end = text + length;
  value->length = 0;
  if (!quote)
    mp_buffer_add(value, text, length > 2 && memcmp(end - 2, "e0", 2) == 0 ? length - 2 : length);
  else if (*text == 'R')
    read_replaced(value, quote + 1, end);
  else if (quote == text)
    read_quoted(value, quote + 1, end);
  else if (*text != 'L')
    read_hex(value, quote + 1, end - 1);
}

static bool is_word_char(char c) {
  return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* A short value may be a word of the server's own, unless it stands in quotes. */
static bool is_alone(const char *text, const char *at, size_t length) {
  char before = at > text ? at[-1] : ' ', after = at[length];
  if (length < 4)
    return before == '\'' && after == '\'';
  return !is_word_char(before) && !is_word_char(after);
}

/* The length of what stands in quotes at `at`, when it is the value, cut off. */
static size_t cut_length(const char *at, const mp_buffer *value) {
  size_t shown = strcspn(at, "'"), length = shown;
  if (shown > 3 && memcmp(at + shown - 3, "...", 3) == 0)
    length -= 3;
  return length > 3 && length < value->length && memcmp(at, value->data, length) == 0 ? shown : 0;
}

/* The length of the value, or of its beginning, when it stands at `at`. */
static size_t found_at(const char *text, const char *at, const mp_buffer *value) {
  if (strncmp(at, value->data, value->length) == 0 && is_alone(text, at, value->length))
    return value->length;
  return at > text && at[-1] == '\'' ? cut_length(at, value) : 0;
}

/* One byte in the place of each value, until all have been looked for: a word could be found again, as a
   value that is like a part of it. */
static const char hidden_mark = '\1';

static void mark_value(mp_error *err, const mp_buffer *value) {
  message clean = {.length = 0};
  for (const char *at = err->message; *at;) {
    size_t length = found_at(err->message, at, value);
    add(&clean, length ? &hidden_mark : at, 1);
    at += length ? length : 1;
  }
  take(err, &clean);
}

static void write_marks(mp_error *err) {
  message clean = {.length = 0};
  for (const char *at = err->message; *at; at++) {
    if (*at == hidden_mark)
      hide(&clean);
    else
      add(&clean, at, 1);
  }
  take(err, &clean);
}

static void scrub_literals(mp_error *err, const connection *conn) {
  const sql_literal *literals = (const sql_literal *)(const void *)conn->statement.literals.data;
  size_t count = conn->statement.literals.length / sizeof *literals;
  mp_buffer value = {0};
  for (size_t i = 0; i < count; i++) {
    read_literal(&value, conn->statement.text.data + literals[i].start, literals[i].length);
    if (value.length > 0 && !value.failed)
      mark_value(err, &value);
  }
  mp_buffer_free(&value);
}

/* The strings among the parameters of a prepared statement. */
static void scrub_parameters(mp_error *err, const connection *conn) {
  const mp_value *values = (const mp_value *)(const void *)conn->statement.values.data;
  size_t count = conn->statement.values.length / sizeof *values;
  for (size_t i = 0; i < count; i++) {
    bool text = values[i].kind == MP_VALUE_STRING || values[i].kind == MP_VALUE_BINARY;
    mp_buffer value = {.data = (char *)values[i].as.text.bytes, .length = values[i].as.text.length};
    if (text && value.length > 0)
      mark_value(err, &value);
  }
}

void scrub_begin(connection *conn) {
  conn->statement.text.length = conn->statement.literals.length = conn->statement.values.length = 0;
}

void scrub(mp_error *err, const connection *conn) {
  bool parameters = conn->statement.literals.length > 0 || conn->statement.values.length > 0;
  if (conn->pool->show_values || err->kind != MP_ERR_SERVER || !parameters || scrub_syntax_error(err, conn) ||
      scrub_frames(err))
    return;
  scrub_literals(err, conn);
  scrub_parameters(err, conn);
  write_marks(err);
}
