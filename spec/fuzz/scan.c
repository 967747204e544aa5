/* Fuzzes the scanner: it ends, finds question marks only, and a statement with values in their
   places scans as before, whatever the values: they change nothing around them. */
#include "fuzz.h"
#include "sql.h"

enum { MANY = 1000 };

typedef struct statement {
  const char *text;
  size_t length;
  mp_sql_mode mode;
  mp_scanner after; /* the last placeholder */
  const char *marks[MANY];
  bool executable[MANY];
  size_t count;
} statement;

static void scan(statement *sql) {
  mp_scanner scanner;
  const char *mark, *before = sql->text - 1;
  mp_scanner_init(&scanner, sql->text, sql->length, sql->mode.reading);
  while ((mark = mp_scanner_next(&scanner)) && sql->count < MANY) {
    FUZZ_CHECK(mark > before && mark < sql->text + sql->length && *mark == '?');
    mp_scanner_needs_whole(&scanner);
    sql->marks[sql->count] = before = mark;
    sql->executable[sql->count++] = scanner.in_executable_comment;
  }
  sql->after = scanner;
}

/* Values that a wrong scan would show: they hold placeholders, quotes and ends of comments. */
static void add_value(mp_buffer *out, size_t which, bool hex, mp_sql_mode mode) {
  static const char *const values[] = {"?",       "'",      "''?",           "\\'?", "*/ ? /*",
                                       "` ? -- ", "\" ? #", "\xE2\x82\xAC?", "\xFF?"};
  mode.utf8 = which & 1;
  const char *value = values[which % (sizeof values / sizeof *values)];
  switch (which % 13) {
  case 0:
    mp_encode_null(out);
    break;
  case 1:
    mp_encode_integer(out, -1);
    break;
  case 2:
    mp_encode_float(out, -0.5);
    break;
  case 3:
    mp_encode_boolean(out, true);
    break;
  default:
    mp_encode_string(out, value, strlen(value), &mode, hex);
  }
}

/* As src/lua/parameters.c puts a value between its neighbours. */
static void add_padding(mp_buffer *out, char neighbour) {
  if (!strchr(" \t\r\n(),=-", neighbour))
    mp_buffer_add(out, " ", 1);
}

static void fill(const statement *sql, mp_buffer *out, size_t seed) {
  const char *copied = sql->text, *end = sql->text + sql->length;
  for (size_t i = 0; i < sql->count; i++) {
    const char *mark = sql->marks[i];
    mp_buffer_add(out, copied, (size_t)(mark - copied));
    add_padding(out, mark > sql->text ? mark[-1] : ' ');
    add_value(out, seed + i * 7, sql->executable[i], sql->mode);
    add_padding(out, mark + 1 < end ? mark[1] : ' ');
    copied = mark + 1;
  }
  mp_buffer_add(out, copied, (size_t)(end - copied));
}

static void check_filled(const statement *sql, size_t seed) {
  mp_buffer filled = {0};
  mp_scanner scanner;
  fill(sql, &filled, seed);
  mp_buffer_add(&filled, "", 1);
  mp_scanner_init(&scanner, filled.data, filled.length - 1, sql->mode.reading);
  FUZZ_CHECK(!mp_scanner_next(&scanner));
  FUZZ_CHECK(scanner.in_executable_comment == sql->after.in_executable_comment);
  mp_buffer_free(&filled);
}

/* With the values in their places no reading that was open finds another place. */
static void check_readings(const statement *sql, bool alike, size_t seed) {
  mp_buffer filled = {0};
  FUZZ_CHECK(alike || sql->after.doubtful);
  if (!alike)
    return;
  fill(sql, &filled, seed);
  mp_buffer_add(&filled, "", 1);
  FUZZ_CHECK(mp_sql_is_certain(filled.data, filled.length - 1, &sql->mode));
  mp_buffer_free(&filled);
}

/* What is asked for settles escapes and quotes; the charset need not be one that can be settled. */
static mp_sql_mode mode_of(unsigned char bits) {
  bool asked = bits & 4;
  return (mp_sql_mode){
      .reading = {.no_backslash_escapes = bits & 1,
                  .ansi_quotes = asked && (bits & 2),
                  .charset = asked ? (mp_charset)((bits >> 3) % MP_CHARSETS) : MP_CHARSET_PLAIN},
      .escapes_known = asked || (bits & 2),
      .quotes_known = asked,
      .charset_known = asked,
      .asked = asked};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static statement sql;
  if (size == 0)
    return 0;
  char *text = fuzz_copy(data + 1, size - 1);
  sql = (statement){.text = text, .length = size - 1, .mode = mode_of(data[0])};
  scan(&sql);
  bool alike = mp_sql_is_certain(text, size - 1, &sql.mode);
  for (size_t seed = 0; sql.count < MANY && seed < 4; seed++) {
    check_filled(&sql, seed + (size_t)(data[0] >> 1) * 4);
    check_readings(&sql, alike, seed + (size_t)(data[0] >> 1) * 4);
  }
  char word[16];
  mp_sql_effect_of(text, size - 1);
  mp_sql_first_word(text, size - 1, word, sizeof word);
  free(text);
  return 0;
}
