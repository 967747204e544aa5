/* Takes the values of parameters out of the server's messages, which quote them: a message
   ends in logs, where a value may not be. */
#include "binding.h"

/* ---- the message of a syntax error: near '<a piece of the statement>' ---- */

static const char *find(const char *text, size_t length, const char *piece, size_t piece_length) {
  return piece_length ? memmem(text, length, piece, piece_length) : NULL;
}

static void add(char *out, size_t size, const char *bytes, size_t length) {
  size_t used = strlen(out), room = size - used - 1;
  memcpy(out + used, bytes, length < room ? length : room);
  out[used + (length < room ? length : room)] = '\0';
}

/* Rewrites the piece of the statement that begins at `at`, a question mark for each literal. */
static void add_template(char *out, size_t size, const connection *conn, size_t at, size_t end) {
  const sql_literal *literals = (const sql_literal *)(const void *)conn->literals.data;
  size_t count = conn->literals.length / sizeof *literals;
  for (size_t i = 0; i < count && at < end; i++) {
    size_t stop = literals[i].start + literals[i].length;
    if (stop <= at || literals[i].start >= end)
      continue;
    if (literals[i].start > at)
      add(out, size, conn->text.data + at, literals[i].start - at);
    add(out, size, "?", 1);
    at = stop;
  }
  if (at < end)
    add(out, size, conn->text.data + at, end - at);
}

/* The server cuts the piece off after 80 bytes, maybe in the middle of a literal. */
static bool scrub_piece(mp_error *err, const connection *conn) {
  char clean[sizeof err->message] = "";
  char *piece = strstr(err->message, " near '"), *tail = strstr(err->message, "' at line ");
  if (!piece || !tail || (piece += 7) > tail)
    return false;
  const char *found = find(conn->text.data, conn->text.length, piece, (size_t)(tail - piece));
  if (found) {
    size_t at = (size_t)(found - conn->text.data);
    add(clean, sizeof clean, err->message, (size_t)(piece - err->message));
    add_template(clean, sizeof clean, conn, at, at + (size_t)(tail - piece));
    add(clean, sizeof clean, tail, strlen(tail));
    memcpy(err->message, clean, sizeof clean);
  }
  return found != NULL;
}

/* ---- other messages: the value itself ---- */

static int digit(char c) {
  return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Reads a literal back into the value it stands for. */
static void read_literal(mp_buffer *value, const char *text, size_t length) {
  const char *quote = memchr(text, '\'', length);
  const char *end = text + length - 1;
  bool hex = quote && quote > text;
  value->length = 0;
  if (!quote) {
    mp_buffer_add(value, text, length > 2 && memcmp(end - 1, "e0", 2) == 0 ? length - 2 : length);
    return;
  }
  for (const char *at = quote + 1; at < end; at++) {
    char byte = hex ? (char)(digit(at[0]) << 4 | digit(at[1])) : *at;
    mp_buffer_add(value, &byte, 1);
    at += hex || *at == '\'';
  }
}

/* Whether what stands in quotes from `at` on is the value, cut off for its length. */
static bool is_cut(const char *at, const mp_buffer *value) {
  size_t shown = strcspn(at, "'");
  if (shown > 3 && memcmp(at + shown - 3, "...", 3) == 0)
    shown -= 3;
  return shown > 0 && shown < value->length && memcmp(at, value->data, shown) == 0;
}

/* Values stand in quotes in a message: what is outside of them is the server's own text. */
static void replace(mp_error *err, const mp_buffer *value) {
  char clean[sizeof err->message] = "";
  bool inside = false;
  for (const char *at = err->message; *at;) {
    bool opened = inside && at[-1] == '\'';
    size_t skip = 0;
    if (inside && strncmp(at, value->data, value->length) == 0)
      skip = value->length;
    else if (opened && is_cut(at, value))
      skip = strcspn(at, "'");
    else if (*at == '\'')
      inside = !inside;
    add(clean, sizeof clean, skip ? "?" : at, 1);
    at += skip ? skip : 1;
  }
  memcpy(err->message, clean, sizeof clean);
}

void scrub(mp_error *err, const connection *conn) {
  const sql_literal *literals = (const sql_literal *)(const void *)conn->literals.data;
  size_t count = conn->literals.length / sizeof *literals;
  mp_buffer value = {0};
  if (err->kind != MP_ERR_SERVER || count == 0 || scrub_piece(err, conn))
    return;
  for (size_t i = 0; i < count; i++) {
    read_literal(&value, conn->text.data + literals[i].start, literals[i].length);
    if (value.length > 0 && !value.failed)
      replace(err, &value);
  }
  mp_buffer_free(&value);
}
