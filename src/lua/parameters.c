/* A statement and its parameters as one text. */
#include "parameters.h"

#include <math.h>

#include "class.h"
#include "place.h"

/* ---- one value ---- */

typedef struct encoder {
  lua_State *L;
  mp_buffer *out, *literals;
  const mp_sql_mode *mode;
  const mp_scanner *scanner; /* has just found the placeholder */
  bool hex;                  /* quotes do not protect here */
  int position;              /* of the parameter, for messages */
  const char *name;          /* ... if it has one: the position is of no meaning then */
  size_t name_length;
  int item;     /* the place in the outermost list */
  bool unclear; /* a value or a name may mean something else, by what is known of the session */
} encoder;

/* The parameter as messages name it. */
static const char *label(const encoder *to) {
  if (!to->name)
    return lua_pushfstring(to->L, "%d", to->position);
  lua_pushliteral(to->L, ":");
  lua_pushlstring(to->L, to->name, to->name_length);
  lua_concat(to->L, 2);
  return lua_tostring(to->L, -1);
}

/* `depth`: how many lists the value stands in. */
static void encode(encoder *to, int index, int depth);

/* A whole float is written as an integer only where SQL takes nothing else: 10/4 and 10e0/4 differ. */
static bool is_count(encoder *to, double number) {
  return number == trunc(number) && fabs(number) < 0x1p63 && mp_scanner_needs_whole(to->scanner);
}

static void encode_number(encoder *to, int index) {
  double number = lua_tonumber(to->L, index);
  if (lua_isinteger(to->L, index))
    mp_encode_integer(to->out, lua_tointeger(to->L, index));
  else if (is_count(to, number))
    mp_encode_integer(to->out, (int64_t)number);
  else if (isfinite(number))
    mp_encode_float(to->out, number);
  else
    raise(to->L, "bad parameter %s (SQL has no %s)", label(to), isnan(number) ? "NaN" : "infinity");
}

static void encode_string(encoder *to, int index) {
  size_t length;
  const char *bytes = lua_tolstring(to->L, index, &length);
  to->unclear |= mp_text_is_in_doubt(bytes, length, to->mode);
  mp_encode_string(to->out, bytes, length, to->mode, to->hex);
}

/* The last position in a list. Its length would not tell of all values: a program can make holes in a list
   that mypool.list has looked at. */
static lua_Integer last_position(encoder *to, int index) {
  lua_State *L = to->L;
  lua_Integer last = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    lua_Integer key = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
    if (key < 1)
      raise(L, "bad parameter %s (a list has no keys but 1, 2, …)", label(to));
    last = key > last ? key : last;
  }
  return last;
}

static void encode_item(encoder *to, int index, int position, int depth) {
  lua_rawgeti(to->L, index, position);
  if (lua_isnil(to->L, -1))
    raise(to->L, "bad parameter %s (place %d of the list is nil: for NULL write mypool.null)", label(to),
          position);
  encode(to, lua_gettop(to->L), depth);
  lua_pop(to->L, 1);
}

/* A list within a list is a row: (a, b) IN (?), VALUES ?. */
static void encode_list(encoder *to, int index, int depth) {
  if (depth > 1)
    raise(to->L, "bad parameter %s (lists are nested more than once)", label(to));
  lua_Integer last = last_position(to, index);
  if (last == 0 && depth > 0)
    raise(to->L, "bad parameter %s (place %d of the list is an empty list)", label(to), to->item);
  if (last == 0)
    raise(to->L, "bad parameter %s (an empty list: no SQL means 'in nothing', so test for it first)",
          label(to));
  if (depth > 0)
    mp_buffer_add(to->out, "(", 1);
  for (int i = 1; i <= last; i++) {
    if (i > 1)
      mp_buffer_add(to->out, ",", 1);
    if (depth == 0)
      to->item = i;
    encode_item(to, index, i, depth + 1);
  }
  if (depth > 0)
    mp_buffer_add(to->out, ")", 1);
}

/* The string at this index, NULL for anything else. A number would be turned into a string, and that may run
   finalizers: here they would find the connection in the middle of a statement. */
static const char *string_at(lua_State *L, int index, size_t *length) {
  return lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, length) : NULL;
}

/* The bytes have the end of a comment in them: one that turns out not to be executed ends at the first of
   these, quoted or not. */
static bool has_end_of_comment(const char *bytes, size_t length) {
  return length > 1 && memmem(bytes, length, "*/", 2);
}

static void encode_identifier(encoder *to, int index) {
  int count = (int)lua_rawlen(to->L, index);
  for (int i = 1; i <= count; i++) {
    size_t length = 0;
    lua_rawgeti(to->L, index, i);
    const char *name = string_at(to->L, -1, &length);
    if (i > 1)
      mp_buffer_add(to->out, ".", 1);
    size_t start = to->out->length;
    if (!name || (to->hex && has_end_of_comment(name, length)) ||
        !mp_encode_identifier(to->out, name, length, to->mode))
      raise(to->L, "bad parameter %s (not a name that can be quoted)", label(to));
    to->unclear |= mp_text_is_in_doubt(name, length, to->mode) ||
                   !mp_identifier_is_clear(to->out->data + start, to->out->length - start, to->mode);
    lua_pop(to->L, 1);
  }
}

static void encode_binary(encoder *to, int index) {
  size_t length = 0;
  lua_rawgeti(to->L, index, 1);
  const char *bytes = string_at(to->L, -1, &length);
  if (!bytes)
    raise(to->L, "bad parameter %s (binary holds no string)", label(to));
  mp_encode_binary(to->out, bytes, length, to->mode);
  lua_pop(to->L, 1);
}

static void raise_no_form(encoder *to, int index) {
  if (is_class(to->L, index, NAMED_CLASS))
    raise(to->L, "bad parameter %s (mypool.named is the only argument after the statement)", label(to));
  if (lua_istable(to->L, index))
    raise(to->L, "bad parameter %s (a table has no SQL form: mypool.list for IN (?), mypool.named for :name)",
          label(to));
  raise(to->L, "bad parameter %s (%s has no SQL form)", label(to), luaL_typename(to->L, index));
}

static void encode_scalar(encoder *to, int index) {
  switch (lua_type(to->L, index)) {
  case LUA_TNIL:
    mp_encode_null(to->out);
    break;
  case LUA_TBOOLEAN:
    mp_encode_boolean(to->out, lua_toboolean(to->L, index));
    break;
  case LUA_TNUMBER:
    encode_number(to, index);
    break;
  case LUA_TSTRING:
    encode_string(to, index);
    break;
  case LUA_TTABLE:
    if (!is_class(to->L, index, BINARY_CLASS))
      raise_no_form(to, index);
    encode_binary(to, index);
    break;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(to->L, index) == NULL) {
      mp_encode_null(to->out);
      break;
    }
    /* fall through */
  default:
    raise_no_form(to, index);
  }
}

/* Names are no values: messages may show them. */
static void encode(encoder *to, int index, int depth) {
  sql_literal literal = {
      .start = to->out->length, .parameter = to->position, .name = to->name, .name_length = to->name_length};
  luaL_checkstack(to->L, 4, "lists within lists");
  bool wrapped = lua_istable(to->L, index);
  bool is_array = wrapped && depth > 0 && !lua_getmetatable(to->L, index);
  if (wrapped && depth > 0 && !is_array)
    lua_pop(to->L, 1);
  if (is_array || (wrapped && is_class(to->L, index, LIST_CLASS))) {
    encode_list(to, index, depth);
  } else if (wrapped && is_class(to->L, index, IDENTIFIER_CLASS)) {
    encode_identifier(to, index);
  } else {
    encode_scalar(to, index);
    literal.length = to->out->length - literal.start;
    mp_buffer_add(to->literals, (const char *)&literal, sizeof literal);
  }
}

/* ---- the statement ---- */

/* Next to these characters a value stays a token of its own. A blank behind two dashes would begin a
   comment. */
static bool is_separator(char c) {
  return strchr(" \t\r\n(),=-", c) != NULL;
}

static void pad(mp_buffer *out, char beside) {
  if (!is_separator(beside))
    mp_buffer_add(out, " ", 1);
}

static int count_placeholders(mp_scanner *scanner) {
  int count = 0;
  while (mp_scanner_next(scanner))
    count++;
  return count;
}

static void check_count(lua_State *L, int wanted, int given, int first) {
  static const char wrong[] = "wrong number of parameters (the statement has %d, got %d%s)";
  if (wanted == given)
    return;
  bool plain_table = given == 1 && lua_istable(L, first) && !is_class(L, first, LIST_CLASS);
  if (wanted > 1 && plain_table)
    raise(L,
          "wrong number of parameters (the statement has %d, got one table: pass its values one by one, "
          "table.unpack(t, 1, n), or by name with mypool.named)",
          wanted);
  raise(L, wrong, wanted, given,
        wanted == 0 ? ": placeholders are written ?, or :name with mypool.named" : "");
}

/* Raises when the session has been asked already: the answer did not help, or may be another one when a reset
   repeats the statement. */
static void check_may_ask(lua_State *L, const mp_sql_mode *mode) {
  if (mode->asked)
    raise(L, "bad argument 'sql' (what is quoted in it cannot be told for sure: write a quote within quotes "
             "twice, not behind a backslash, and put a blank behind two dashes)");
}

static void put_values(encoder *to, mp_scanner scanner, int first) {
  const char *text = scanner.at, *end = scanner.end, *copied = text, *mark;
  to->scanner = &scanner;
  while ((mark = mp_scanner_next(&scanner))) {
    to->hex = scanner.in_executable_comment;
    mp_buffer_add(to->out, copied, (size_t)(mark - copied));
    pad(to->out, mark > text ? mark[-1] : ' ');
    to->position++;
    encode(to, first + to->position - 1, 0);
    pad(to->out, mark + 1 < end ? mark[1] : ' ');
    copied = mark + 1;
  }
  mp_buffer_add(to->out, copied, (size_t)(end - copied));
}

/* ---- names ---- */

static bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool continues_name(char c) {
  return begins_name(c) || (c >= '0' && c <= '9');
}

/* The next :name, whose colon follows nothing that it could belong to; the scanner then stands behind the
   colon. NULL after the last. */
static const char *next_name(mp_scanner *scanner, size_t *length) {
  const char *mark;
  while ((mark = mp_scanner_find(scanner, ':'))) {
    char before = mark > scanner->sql ? mark[-1] : ' ';
    const char *end = mark + 1;
    if (continues_name(before) || before == ':' || before == '@' || (unsigned char)before >= 0x80)
      continue;
    while (end < scanner->end && (end == mark + 1 ? begins_name(*end) : continues_name(*end)))
      end++;
    *length = (size_t)(end - mark - 1);
    if (*length > 0)
      return mark;
  }
  return NULL;
}

enum { MOST_NAMES = 12 };

/* Puts a name among those that stand in order already; the last one falls out of a full array. */
static int insert_name(const char **names, int count, const char *name) {
  int at = count;
  for (; at > 0 && strcmp(names[at - 1], name) > 0; at--)
    if (at < MOST_NAMES)
      names[at] = names[at - 1];
  if (at < MOST_NAMES)
    names[at] = name;
  return count < MOST_NAMES ? count + 1 : count;
}

static int raise_no_value(const encoder *to, int named) {
  lua_State *L = to->L;
  const char *wanted = label(to), *names[MOST_NAMES];
  int count = 0;
  for (lua_pushnil(L); lua_next(L, named); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING)
      count = insert_name(names, count, lua_tostring(L, -2));
  lua_pushstring(L, count == 0 ? "nothing" : "");
  for (int i = 0; i < count; i++) {
    lua_pushfstring(L, "%s%s", i == 0 ? "" : ", ", names[i]);
    lua_concat(L, 2);
  }
  return raise(L, "no value for '%s' (named has %s; NULL is mypool.null)", wanted, lua_tostring(L, -1));
}

/* Pushes the value of the name. Looks at all there are: to make a string for the table would let the
   collector run, and with it finalizers, which would find the connection in the middle of a statement. */
static void push_named(const encoder *to, int named) {
  lua_State *L = to->L;
  luaL_checkstack(L, 8, "too many parameters");
  for (lua_pushnil(L); lua_next(L, named); lua_pop(L, 1)) {
    size_t length = 0;
    const char *name = string_at(L, -2, &length);
    if (name && length == to->name_length && memcmp(name, to->name, length) == 0) {
      lua_remove(L, -2);
      return;
    }
  }
  raise_no_value(to, named);
}

/* The same as put_values, for names in the place of question marks; their values are in the table at the
   index `named`. */
static void put_named(encoder *to, mp_scanner scanner, int named) {
  const char *text = scanner.at, *end = scanner.end, *copied = text, *mark;
  to->scanner = &scanner;
  while ((mark = next_name(&scanner, &to->name_length))) {
    to->name = mark + 1;
    to->hex = scanner.in_executable_comment;
    push_named(to, named);
    mp_buffer_add(to->out, copied, (size_t)(mark - copied));
    pad(to->out, mark > text ? mark[-1] : ' ');
    encode(to, lua_gettop(to->L), 0);
    lua_pop(to->L, 1);
    copied = to->name + to->name_length;
    pad(to->out, copied < end ? *copied : ' ');
  }
  mp_buffer_add(to->out, copied, (size_t)(end - copied));
}

static bool is_named(lua_State *L, int first, int last) {
  return first == last && lua_istable(L, first) && is_class(L, first, NAMED_CLASS);
}

/* Fills conn->statement.text from the SQL at stack index `sql` and the parameters from `first` to
   `last`, for a session in this mode. False: what the text means depends on what the session has to be asked
   for first. Raises for what cannot be encoded, before anything was sent. */
bool encode_statement(lua_State *L, connection *conn, int sql, int first, int last, const mp_sql_mode *mode) {
  size_t length;
  const char *text = lua_tolstring(L, sql, &length);
  encoder to = {.L = L, .out = &conn->statement.text, .literals = &conn->statement.literals, .mode = mode};
  mp_scanner scanner, counting;
  mp_scanner_init(&scanner, text, length, mode->reading);
  counting = scanner;
  conn->statement.text.length = conn->statement.literals.length = 0;
  int wanted = count_placeholders(&counting);
  bool named = is_named(L, first, last);
  if (counting.doubtful && (!mp_sql_is_certain(text, length, mode) ||
                            (named && !mp_scanner_is_certain(text, length, mode, ':')))) {
    check_may_ask(L, mode);
    return false;
  }
  if (named && wanted > 0)
    raise(L, "bad argument 'sql' (a ? stands in it beside the names of mypool.named)");
  if (named) {
    put_named(&to, scanner, first);
  } else {
    check_count(L, wanted, last - first + 1, first);
    put_values(&to, scanner, first);
  }
  if (conn->statement.text.failed || conn->statement.literals.failed)
    luaL_error(L, "not enough memory");
  if (to.unclear)
    check_may_ask(L, mode);
  return !to.unclear;
}

/* ---- wrapped values ---- */

static int list_tostring(lua_State *L) {
  lua_pushfstring(L, "mypool value: %p", lua_topointer(L, 1));
  return 1;
}

static const luaL_Reg metamethods[] = {
    {"__tostring", list_tostring},
    {NULL, NULL},
};

/* Leaves the metatables where the Lua side finds them: in the table on top of the stack. */
void parameters_open(lua_State *L) {
  const char *const classes[] = {LIST_CLASS, IDENTIFIER_CLASS, BINARY_CLASS, NAMED_CLASS};
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
    new_class(L, classes[i]);
    luaL_setfuncs(L, metamethods, 0);
    lua_setfield(L, -2, classes[i]);
  }
}
