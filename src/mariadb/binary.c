/* Rows of the binary protocol as values. In each bind stands where the column's bytes are in
   the row (NULL for NULL); they are read there, without a copy. The formats are
   those of the MariaDB knowledge base, "Resultset row". Dates and times become the text that
   the text protocol would have sent. */
#include "binary.h"

#include <float.h>
#include <string.h>

static inline uint64_t little_endian(const unsigned char *at, unsigned bytes) {
  uint64_t value = 0;
  memcpy(&value, at, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  value = __builtin_bswap64(value);
#endif
  return value;
}

static void read_integer(mp_value *value, const unsigned char *at, unsigned bytes, bool is_unsigned) {
  unsigned shift = 64 - 8 * bytes;
  uint64_t bits = little_endian(at, bytes);
  value->kind = is_unsigned && bytes == 8 ? MP_VALUE_UNSIGNED : MP_VALUE_INTEGER;
  value->as.integer = is_unsigned ? (int64_t)bits : (int64_t)(bits << shift) >> shift;
}

/* With FLOAT(m,d) and DOUBLE(m,d) the text protocol shows d digits behind the point, else six of
   a FLOAT (MariaDB knowledge base, "FLOAT"): the binary one must not show others. */
enum { NOT_FIXED = 31 };

static bool has_fixed_decimals(const MYSQL_FIELD *field) {
  return field->decimals < NOT_FIXED;
}

static void read_float(mp_value *value, const MYSQL_FIELD *field, const unsigned char *at) {
  uint32_t bits = (uint32_t)little_endian(at, 4);
  float number;
  memcpy(&number, &bits, sizeof number);
  value->kind = MP_VALUE_FLOAT;
  value->as.number = has_fixed_decimals(field) ? mp_round_decimals(number, field->decimals)
                                               : mp_round_digits(number, FLT_DIG);
}

static void read_double(mp_value *value, const MYSQL_FIELD *field, const unsigned char *at) {
  uint64_t bits = little_endian(at, 8);
  value->kind = MP_VALUE_FLOAT;
  memcpy(&value->as.number, &bits, sizeof bits);
  if (has_fixed_decimals(field))
    value->as.number = mp_round_decimals(value->as.number, field->decimals);
}

/* A length of one, three, four or nine bytes: so many behind the first. */
static unsigned length_bytes(const unsigned char *at) {
  return *at < 251 ? 0 : *at == 252 ? 2 : *at == 253 ? 3 : 8;
}

static uint64_t string_length(const unsigned char *at) {
  unsigned prefix = length_bytes(at);
  return prefix ? little_endian(at + 1, prefix) : *at;
}

/* Reads a length as above, then so many bytes. */
static void read_string(mp_value *value, const unsigned char *at) {
  *value = (mp_value){
      .kind = MP_VALUE_STRING,
      .as.text = {.bytes = (const char *)at + 1 + length_bytes(at), .length = (size_t)string_length(at)}};
}

/* ---- dates and times ---- */

enum { LONGEST_TIME = 40, LONGEST_PACKED = 12 };

/* Appends the number with at least so many digits; printf would take longer than all the rest of a row. */
static char *add_number(char *at, uint64_t number, int digits) {
  char reversed[24];
  if (digits == 2 && number < 100) {
    at[0] = (char)('0' + number / 10);
    at[1] = (char)('0' + number % 10);
    return at + 2;
  }
  int count = 0;
  while (number > 0 || count < digits) {
    reversed[count++] = (char)('0' + number % 10);
    number /= 10;
  }
  while (count > 0)
    *at++ = reversed[--count];
  return at;
}

static char *add_char(char *at, char c) {
  *at = c;
  return at + 1;
}

/* More than six decimals stand for "as many as there are". */
static char *add_fraction(char *at, uint64_t microseconds, unsigned decimals) {
  if (decimals > 6)
    decimals = microseconds ? 6 : 0;
  if (decimals == 0)
    return at;
  at = add_char(at, '.');
  add_number(at, microseconds % 1000000, 6);
  return at + decimals;
}

static char *add_clock(char *at, uint64_t hours, const unsigned char *rest) {
  at = add_number(at, hours, 2);
  at = add_number(add_char(at, ':'), rest[0], 2);
  return add_number(add_char(at, ':'), rest[1], 2);
}

/* length, year (2), month, day, hour, minute, second, microsecond (4): cut off where the rest is 0. */
static char *write_datetime(char *text, const unsigned char *at, bool with_time, unsigned decimals) {
  unsigned char all[LONGEST_PACKED + 1] = {0};
  memcpy(all, at, *at + 1u);
  uint64_t year = little_endian(all + 1, 2);
  text = add_number(add_number(text, year / 100, 2), year % 100, 2);
  text = add_number(add_char(text, '-'), all[3], 2);
  text = add_number(add_char(text, '-'), all[4], 2);
  if (!with_time)
    return text;
  text = add_clock(add_char(text, ' '), all[5], all + 6);
  return add_fraction(text, little_endian(all + 8, 4), decimals);
}

/* length, negative, days (4), hour, minute, second, microsecond (4) */
static char *write_time(char *text, const unsigned char *at, unsigned decimals) {
  unsigned char all[LONGEST_PACKED + 1] = {0};
  memcpy(all, at, *at + 1u);
  if (all[1])
    text = add_char(text, '-');
  text = add_clock(text, little_endian(all + 2, 4) * 24 + all[6], all + 7);
  return add_fraction(text, little_endian(all + 9, 4), decimals);
}

static size_t read_time(mp_value *value, const MYSQL_FIELD *field, const unsigned char *at, char *scratch) {
  const char *end;
  if (*at > LONGEST_PACKED)
    end = scratch;
  else if (field->type == MYSQL_TYPE_TIME)
    end = write_time(scratch, at, field->decimals);
  else
    end = write_datetime(scratch, at, field->type != MYSQL_TYPE_DATE, field->decimals);
  *value =
      (mp_value){.kind = MP_VALUE_STRING, .as.text = {.bytes = scratch, .length = (size_t)(end - scratch)}};
  return (size_t)(end - scratch);
}

/* ---- packets that no server should send ----
   libmariadb does not see all that is wrong with them. What it does not see may be taken for a value, but not
   from beyond its buffer. */

/* The size of a value of this type; 0 where the value begins with its length. */
static size_t fixed_size(const MYSQL_FIELD *field) {
  switch (field->type) {
  case MYSQL_TYPE_TINY:
    return 1;
  case MYSQL_TYPE_SHORT:
  case MYSQL_TYPE_YEAR:
    return 2;
  case MYSQL_TYPE_INT24:
  case MYSQL_TYPE_LONG:
  case MYSQL_TYPE_FLOAT:
    return 4;
  case MYSQL_TYPE_LONGLONG:
  case MYSQL_TYPE_DOUBLE:
    return 8;
  default:
    return 0;
  }
}

static bool is_time(const MYSQL_FIELD *field) {
  return field->type == MYSQL_TYPE_DATE || field->type == MYSQL_TYPE_DATETIME ||
         field->type == MYSQL_TYPE_TIMESTAMP || field->type == MYSQL_TYPE_TIME;
}

static bool has_string(const unsigned char *at, size_t room) {
  return room > length_bytes(at) && string_length(at) <= room - 1 - length_bytes(at);
}

static bool is_whole(const MYSQL_FIELD *field, const unsigned char *at, const unsigned char *end) {
  size_t room = at < end ? (size_t)(end - at) : 0, fixed = fixed_size(field);
  if (room == 0 || fixed > 0)
    return room > 0 && room >= fixed;
  if (is_time(field))
    return *at > LONGEST_PACKED || *at < room;
  return has_string(at, room);
}

/* How much of the row a value takes that is whole. */
static size_t size_of(const MYSQL_FIELD *field, const unsigned char *at) {
  size_t fixed = fixed_size(field);
  if (fixed > 0)
    return fixed;
  return is_time(field) ? *at + 1u : 1 + length_bytes(at) + (size_t)string_length(at);
}

/* Behind a value that is not whole nothing is looked for: all that follow stand where it does, and are not
   whole either. The header is a zero, then the bits of the values that are NULL, of which the first two stand
   for none (MariaDB knowledge base, "Resultset row"). */
void mp_binary_locate(MYSQL_STMT *stmt, unsigned char *row) {
  const unsigned char *end = stmt->mysql->net.buff_end, *nulls = row + 1;
  unsigned char *at = row + 1 + (stmt->field_count + 9) / 8;
  bool whole = at <= end;
  for (unsigned i = 0; i < stmt->field_count; i++) {
    bool is_null = whole && nulls[(i + 2) / 8] >> (i + 2) % 8 & 1;
    stmt->bind[i].u.row_ptr = is_null ? NULL : at;
    if (is_null)
      continue;
    whole = whole && is_whole(&stmt->fields[i], at, end);
    at += whole ? size_of(&stmt->fields[i], at) : 0;
  }
}

/* ---- a row ---- */

/* Returns how much of the scratch space it used. */
static size_t decode(mp_value *value, const MYSQL_FIELD *field, const unsigned char *at, char *scratch) {
  bool is_unsigned = field->flags & UNSIGNED_FLAG;
  switch (field->type) {
  case MYSQL_TYPE_TINY:
    read_integer(value, at, 1, is_unsigned);
    return 0;
  case MYSQL_TYPE_SHORT:
  case MYSQL_TYPE_YEAR:
    read_integer(value, at, 2, is_unsigned);
    return 0;
  case MYSQL_TYPE_INT24:
  case MYSQL_TYPE_LONG:
    read_integer(value, at, 4, is_unsigned);
    return 0;
  case MYSQL_TYPE_LONGLONG:
    read_integer(value, at, 8, is_unsigned);
    return 0;
  case MYSQL_TYPE_FLOAT:
    read_float(value, field, at);
    return 0;
  case MYSQL_TYPE_DOUBLE:
    read_double(value, field, at);
    return 0;
  case MYSQL_TYPE_DATE:
  case MYSQL_TYPE_DATETIME:
  case MYSQL_TYPE_TIMESTAMP:
  case MYSQL_TYPE_TIME:
    return read_time(value, field, at, scratch);
  default:
    read_string(value, at);
    return 0;
  }
}

size_t mp_binary_scratch(unsigned columns) {
  return (size_t)columns * LONGEST_TIME;
}

bool mp_binary_decode(prepared *statement) {
  MYSQL_STMT *stmt = statement->stmt;
  char *scratch = statement->scratch;
  for (unsigned i = 0; i < stmt->field_count; i++) {
    const unsigned char *at = stmt->bind[i].u.row_ptr;
    if (at && !is_whole(&stmt->fields[i], at, stmt->mysql->net.buff_end))
      return false;
    if (at)
      scratch += decode(&statement->values[i], &stmt->fields[i], at, scratch);
    else
      statement->values[i].kind = MP_VALUE_NULL;
  }
  return true;
}
