/* SQL as text, without a session: a growing buffer, the scanner of placeholders, literals, numbers. No
   I/O. */
#ifndef MYPOOL_SQL_H
#define MYPOOL_SQL_H

#include "result.h"

/* A growing text. Zero-initialise it; `failed` is set when memory ran out. */
typedef struct mp_buffer {
  char *data;
  size_t length, capacity;
  bool failed;
} mp_buffer;
bool mp_buffer_grow(mp_buffer *buffer, size_t more); /* false: failed */
static inline void mp_buffer_add(mp_buffer *buffer, const char *bytes, size_t length) {
  if (length == 0 || buffer->failed ||
      (length > buffer->capacity - buffer->length && !mp_buffer_grow(buffer, length)))
    return;
  memcpy(buffer->data + buffer->length, bytes, length);
  buffer->length += length;
}
void mp_buffer_free(mp_buffer *buffer);

/* Walks over a statement from placeholder to placeholder. */
typedef struct mp_scanner {
  const char *sql, *at, *end;
  mp_reading reading;
  bool in_executable_comment; /* the placeholder just found stands inside one */
  bool doubtful;              /* it has passed something that another reading may take for something else */
} mp_scanner;

/* Starts at the first byte of `sql`. */
void mp_scanner_init(mp_scanner *scanner, const char *sql, size_t length, mp_reading reading);

/* The next `?` outside of quotes, comments and quoted names; NULL after the last. */
const char *mp_scanner_next(mp_scanner *scanner);

/* The placeholder just found stands where SQL takes digits and nothing else, as behind LIMIT. Reads the text
   before it once more. */
bool mp_scanner_needs_whole(const mp_scanner *found);

/* The statement takes a lock that lasts as long as its session: LOCK TABLES, FLUSH … WITH READ LOCK,
   GET_LOCK() and their like. */
bool mp_sql_is_locking(const char *sql, size_t length, mp_reading reading);

/* The same at a glance: false for nearly all that take none. */
bool mp_sql_may_lock(const char *sql, size_t length);

/* The statement only reads, by its first word: not so where that is not known. */
bool mp_sql_is_read_only(const char *sql, size_t length, mp_reading reading);

/* The placeholders are the same ones by every reading that the mode leaves open. */
bool mp_sql_is_certain(const char *sql, size_t length, const mp_sql_mode *mode);

/* ---- the scanner for other marks than placeholders ---- */

/* The next `wanted` that is neither quoted nor in a comment; NULL after the last. */
const char *mp_scanner_find(mp_scanner *scanner, char wanted);

/* As mp_sql_is_certain, for each `wanted`. */
bool mp_scanner_is_certain(const char *sql, size_t length, const mp_sql_mode *mode, char wanted);

/* Moves past white space and comments that hold no SQL. */
void mp_scanner_skip_blank(mp_scanner *scanner);

/* Past a word, a number, something quoted or a sign. Returns the length of a word or number, else 0. */
size_t mp_scanner_skip_token(mp_scanner *scanner);

/* ---- words ---- */

/* Letters of SQL's words, which are ASCII: under a Turkish locale i and I are no pair. */
static inline char mp_sql_capital(char c) {
  return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* The text, of that length, is this word, in capitals or not. */
static inline bool mp_sql_is_word(const char *text, const char *word, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (mp_sql_capital(text[i]) != mp_sql_capital(word[i]))
      return false;
  return true;
}

/* The traces that a statement leaves when it fails, and its effect on a transaction when it does not. */
typedef enum mp_sql_effect {
  MP_EFFECT_PARTIAL, /* a part of it may stay, and it may end a transaction: CALL, DDL, compound statements */
  MP_EFFECT_WHOLE,   /* the server undoes all of it */
  MP_EFFECT_ENDS,    /* the same; it ends the transaction that is open: COMMIT, START TRANSACTION, BEGIN */
  MP_EFFECT_ROLLBACK /* the same; it undoes that: ROLLBACK, but not to a savepoint */
} mp_sql_effect;
mp_sql_effect mp_sql_effect_of(const char *sql, size_t length);

/* The statement may choose another character set for its session, to judge by its text; it may do so without
   naming it where it executes another text. `effect`: its own. Routines do it for themselves alone. */
bool mp_sql_may_set_charset(const char *sql, size_t length, mp_sql_effect effect);

/* Another command may be sent behind the statement before the answer to it has come, which it is then the
   last to be asked for: it reads or writes rows, outside of a transaction, or ends the one that it is in. Not
   one that may ask the client for more, as LOAD DATA does, nor one that may change the way in which the
   server reads. */
bool mp_sql_may_be_followed(const char *sql, size_t length, bool in_transaction);

/* Copies the first word in capitals, as much of it as there is room for, and a NUL byte. */
void mp_sql_first_word(const char *sql, size_t length, char *word, size_t size);

/* ---- numbers as text: in the C locale, whatever that of the program ---- */

/* The bytes of a number at most: MariaDB writes floats into a buffer of 350 (FLOATING_POINT_BUFFER), and
   ZEROFILL pads to 255. */
enum { MP_LONGEST_NUMBER = 400 };

/* False for what is no number as a whole; *value is then of no use. Digits beyond 64 bits are lost. */
bool mp_read_digits(const char *text, size_t length, uint64_t *value);
bool mp_read_float(const char *text, size_t length, double *value);

/* Writes the fewest digits that read back equal, and a NUL byte. Returns the length. */
enum { MP_FLOAT_ROOM = 32 };
size_t mp_write_float(char text[MP_FLOAT_ROOM], double value);

/* The nearest number with so many decimals, 30 at most, or so many digits. */
double mp_round_decimals(double value, unsigned decimals);
double mp_round_digits(double value, unsigned digits);

/* The bytes are UTF-8. */
bool mp_is_text(const char *bytes, size_t length);

/* A session of that charset has all characters of the text. */
bool mp_text_is_in_charset(const char *bytes, size_t length, const mp_sql_mode *mode);

/* The session must be asked for its character set before it is sent this text. */
bool mp_text_is_in_doubt(const char *bytes, size_t length, const mp_sql_mode *mode);

/* Append one value. Right under every sql_mode and, for a session whose charset is
   not UTF-8, every connection charset. */
void mp_encode_null(mp_buffer *out);
void mp_encode_boolean(mp_buffer *out, bool value);
void mp_encode_integer(mp_buffer *out, int64_t value);
void mp_encode_float(mp_buffer *out, double value); /* finite */
/* `hex`: never in quotes, for a place where quotes do not protect. */
void mp_encode_string(mp_buffer *out, const char *bytes, size_t length, const mp_sql_mode *mode, bool hex);
void mp_encode_binary(mp_buffer *out, const char *bytes, size_t length, const mp_sql_mode *mode);
/* False, and nothing appended, for a name that cannot be quoted safely: empty, holding a NUL
   byte, longer than 64 characters of UTF-8, not UTF-8, or not
   ASCII while the session's charset is not UTF-8. */
bool mp_encode_identifier(mp_buffer *out, const char *bytes, size_t length, const mp_sql_mode *mode);
/* A name that was appended ends where it should by every reading that the mode leaves open. */
bool mp_identifier_is_clear(const char *quoted, size_t length, const mp_sql_mode *mode);

#endif
