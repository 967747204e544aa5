/* The scanner: what is a placeholder and what only looks like one. */
#include "sql.h"

#include <stdio.h>
#include <string.h>

#include "mypool.h"
#include "spec.h"

static const mp_reading ordinary = {0}, letters = {.no_backslash_escapes = true};
static const mp_reading ansi = {.ansi_quotes = true}, bytes = {.charset = MP_CHARSET_BYTES};
static const mp_reading gbk = {.charset = MP_CHARSET_GBK}, sjis = {.charset = MP_CHARSET_SJIS};
static const mp_reading big5 = {.charset = MP_CHARSET_BIG5}, older = {.skips_versions = true};

/* The statement with every placeholder shown as {}, and as <> in an executable comment. */
static const char *marked(const char *sql, mp_reading reading) {
  static char text[512];
  mp_scanner scanner;
  const char *from = sql, *found;
  *text = '\0';
  mp_scanner_init(&scanner, sql, strlen(sql), reading);
  while ((found = mp_scanner_next(&scanner))) {
    strncat(text, from, (size_t)(found - from));
    strcat(text, scanner.in_executable_comment ? "<>" : "{}");
    from = found + 1;
  }
  strcat(text, from);
  return text;
}

#define expect_marked(sql, text) expect_text(marked(sql, ordinary), text)
#define expect_marked_nbe(sql, text) expect_text(marked(sql, letters), text)

it("finds placeholders wherever they stand") {
  expect_marked("?", "{}");
  expect_marked("SELECT ?,?+(?)", "SELECT {},{}+({})");
  expect_marked("a=?AND b=?", "a={}AND b={}");
}

it("finds none in an empty statement, and none without any") {
  mp_scanner scanner;
  expect_marked("", "");
  expect_marked("SELECT 1", "SELECT 1");
  mp_scanner_init(&scanner, "", 0, ordinary);
  expect(!mp_scanner_next(&scanner));
  expect(!mp_scanner_next(&scanner));
}

it("does not look beyond the end") {
  mp_scanner scanner;
  mp_scanner_init(&scanner, "a/*?", 2, ordinary);
  expect(!mp_scanner_next(&scanner));
  mp_scanner_init(&scanner, "--?", 1, ordinary);
  expect(!mp_scanner_next(&scanner));
  mp_scanner_init(&scanner, "'\\'?", 2, ordinary);
  expect(!mp_scanner_next(&scanner));
  expect(scanner.at == scanner.end);
  mp_scanner_init(&scanner, "/*!?", 2, ordinary);
  expect(!mp_scanner_next(&scanner));
}

it("passes over quotes of all three kinds") {
  expect_marked("'?' ?", "'?' {}");
  expect_marked("\"?\" ?", "\"?\" {}");
  expect_marked("`?` ?", "`?` {}");
  expect_marked("'\"?`' ? \"'?`\" ? `'\"?` ?", "'\"?`' {} \"'?`\" {} `'\"?` {}");
}

it("passes over doubled quotes") {
  expect_marked("'it''s ?' ?", "'it''s ?' {}");
  expect_marked("\"a\"\"?\" ?", "\"a\"\"?\" {}");
  expect_marked("`a``?` ?", "`a``?` {}");
  expect_marked("'''?' ?", "'''?' {}");
  expect_marked("'' ? '?'", "'' {} '?'");
}

it("takes a backslash in a string for an escape") {
  expect_marked("'\\'?' ?", "'\\'?' {}");
  expect_marked("\"\\\"?\" ?", "\"\\\"?\" {}");
  expect_marked("'\\\\' ?", "'\\\\' {}");
  expect_marked("'\\\\\\'?' ?", "'\\\\\\'?' {}");
}

it("takes a backslash for itself under NO_BACKSLASH_ESCAPES") {
  expect_marked_nbe("'\\' ?", "'\\' {}");
  expect_marked_nbe("\"\\\" ? '?'", "\"\\\" {} '?'");
  expect_marked_nbe("'\\'?' ?", "'\\'{}' ?");
}

it("takes a backslash in back-ticks for itself under every mode") {
  expect_marked("`\\` ?", "`\\` {}");
  expect_marked_nbe("`\\` ?", "`\\` {}");
}

it("takes a backslash outside of strings for itself") {
  expect_marked("\\N = ? \\? '?'", "\\N = {} \\{} '?'");
}

it("passes over comments to the end of the line") {
  expect_marked("# ?\n?", "# ?\n{}");
  expect_marked("-- ?\n?", "-- ?\n{}");
  expect_marked("--\t?\n?", "--\t?\n{}");
  expect_marked("--\n?", "--\n{}");
  expect_marked("a#?", "a#?");
  expect_marked("a -- ? '\n?", "a -- ? '\n{}");
  expect_marked("?--", "{}--");
  expect_marked("--\x01?\n?", "--\x01?\n{}");
  expect_marked("--\x7f?\n?", "--\x7f?\n{}");
}

it("takes two dashes without a space for minus signs") {
  expect_marked("1--?", "1--{}");
  expect_marked("--1 ?", "--1 {}");
  expect_marked("1 - ?", "1 - {}");
  expect_marked("1---?", "1---{}");
  expect_marked("1--- ?\n?", "1--- ?\n{}");
  expect_marked("a->'$.?' ?", "a->'$.?' {}");
}

it("passes over block comments") {
  expect_marked("/* ? */ ?", "/* ? */ {}");
  expect_marked("/**/?", "/**/{}");
  expect_marked("/*/ ? */ ?", "/*/ ? */ {}");
  expect_marked("/** ? **/ ?", "/** ? **/ {}");
  expect_marked("/* ' */ ? '?'", "/* ' */ {} '?'");
  expect_marked("/*+ ? */ ?", "/*+ ? */ {}");
  expect_marked("/*M ? */ ?", "/*M ? */ {}");
  expect_marked("/* /* ? */ ?", "/* /* ? */ {}");
}

it("takes a slash or a star alone for arithmetic") {
  expect_marked("1/? * ?", "1/{} * {}");
  expect_marked("2*/*?*/?", "2*/*?*/{}");
  expect_marked("* / ?", "* / {}");
}

it("looks into executable comments, and says so") {
  expect_marked("/*! ? */ ?", "/*! <> */ {}");
  expect_marked("/*!50000 ? */ ?", "/*!50000 <> */ {}");
  expect_marked("/*M! ? */ ?", "/*M! <> */ {}");
  expect_marked("/*M!100100 '?' ? */ ?", "/*M!100100 '?' <> */ {}");
}

it("is out of an executable comment behind its end") {
  expect_marked("/*!*/?", "/*!*/{}");
  expect_marked("/*! a */ ? /*! ? */ ?", "/*! a */ {} /*! <> */ {}");
}

it("knows plain comments and strings within executable ones") {
  expect_marked("/*! /* ? */ ? */ ?", "/*! /* ? */ <> */ {}");
  expect_marked("/*! '*/ ?' ? */ ?", "/*! '*/ ?' <> */ {}");
}

it("does not take the end of an executable comment and a star for another comment") {
  expect_marked("SELECT /*! DISTINCT*/* FROM t WHERE a = ?", "SELECT /*! DISTINCT*/* FROM t WHERE a = {}");
}

it("finds nothing behind what was never closed") {
  expect_marked("'? ?", "'? ?");
  expect_marked("\"? ?", "\"? ?");
  expect_marked("`? ?", "`? ?");
  expect_marked("/* ? ?", "/* ? ?");
  expect_marked("'\\", "'\\");
  expect_marked("/*", "/*");
  expect_marked("'a\\'", "'a\\'");
}

it("carries on behind bytes that are not ASCII, and behind NUL") {
  mp_scanner scanner;
  expect_marked("'\xc3\xa9?' ?", "'\xc3\xa9?' {}");
  mp_scanner_init(&scanner, "'\0?' ?", 6, ordinary);
  const char *found = mp_scanner_next(&scanner);
  expect(found && !mp_scanner_next(&scanner));
}

it("finds the ends of statements by the same rules") {
  mp_scanner scanner;
  const char *sql = "SET a = ';' ; SET b = 1 /* ; */ ; c";
  mp_scanner_init(&scanner, sql, strlen(sql), ordinary);
  expect_equal(mp_scanner_find(&scanner, ';') - sql, 12);
  expect_equal(mp_scanner_find(&scanner, ';') - sql, 32);
  expect(!mp_scanner_find(&scanner, ';'));
}

it("takes a backslash between double quotes for itself under ANSI_QUOTES") {
  expect_text(marked("\"a\\\", ?, '\\', ?'", ansi), "\"a\\\", {}, '\\', ?'");
  expect_text(marked("\"a\\\" ? \"b\"", ordinary), "\"a\\\" ? \"b\"");
}

it("takes the second byte of a character for nothing else") {
  expect_text(marked("'\x95\\' ?", sjis), "'\x95\\' {}");
  expect_text(marked("'\xD5\\' ?", gbk), "'\xD5\\' {}");
  expect_text(marked("'\xA5\\' ?", big5), "'\xA5\\' {}");
  expect_text(marked("'\x95\\' ?", ordinary), "'\x95\\' ?");
  expect_text(marked("`\x81` ?` ?", gbk), "`\x81` ?` {}");
  expect_text(marked("a\x81` ?", gbk), "a\x81` {}");
  expect_text(marked("'\xA1\xA1\\' ?", big5), "'\xA1\xA1\\' ?");
  expect_text(marked("'\xB1\\'? ' ?", sjis), "'\xB1\\'? ' {}"); /* one byte there */
}

it("takes what an escape has left of a character for another one") {
  expect_text(marked("'\\\x95\\' ?' ?", sjis), "'\\\x95\\' ?' {}");
}

it("takes two dashes before a blank of the charset for a comment") {
  expect_text(marked("1 --\xA0?\n?", bytes), "1 --\xA0?\n{}");
  expect_text(marked("1 --\xA0?\n?", ordinary), "1 --\xA0{}\n{}");
}

it("passes over executable comments where another version is asked for") {
  expect_text(marked("/*!999999 ? ' */ ?", older), "/*!999999 ? ' */ {}");
  expect_text(marked("/*M! /* ? */ ? */ ?", older), "/*M! /* ? */ ? */ {}");
  expect_text(marked("/*! ?", older), "/*! ?");
}

/* ---- whether it matters how the text is read ---- */

static bool alike(const char *sql, mp_sql_mode mode) {
  mp_scanner scanner;
  mp_scanner_init(&scanner, sql, strlen(sql), mode.reading);
  while (mp_scanner_next(&scanner))
    continue;
  bool same = mp_sql_is_certain(sql, strlen(sql), &mode);
  expect(same || scanner.doubtful);
  return same;
}

static const mp_sql_mode unsure = {.utf8 = true}, escaping = {.utf8 = true, .escapes_known = true};

it("is in doubt about an escaped quote while the mode is") {
  expect(!alike("'it\\'s', ?", unsure));
  expect(alike("'it\\'s', ?", escaping));
  expect(alike("'a\\nb\\\\', \"a\\n\", ?", unsure));
  expect(alike("?, 'it\\'s'", unsure));
  expect(alike("`it\\`, ?", unsure));
}

it("is in doubt about an escaped double quote as long as nobody has asked for ANSI_QUOTES") {
  mp_sql_mode known = escaping, letters_known = {.reading = letters, .escapes_known = true};
  expect(!alike("\"it\\\"s\", ?", escaping));
  expect(alike("\"it\\\"s\", ?", letters_known));
  known.quotes_known = true;
  expect(alike("\"it\\\"s\", ?", known));
}

it("is in doubt about what may be the second byte of a character") {
  mp_sql_mode known = escaping;
  expect(!alike("'\x95\\', ?", escaping));
  expect(!alike("'\xD5\\', ?", escaping));
  expect(!alike("'\xA5\\', ?", escaping));
  expect(!alike("`\xE8\xA1\xA8`, ?", escaping));
  expect(alike("`caf\xC3\xA9`, 'caf\xC3\xA9', ?", escaping));
  expect(alike("'\xE8\xA1\xA8', ?", unsure));
  known.charset_known = true;
  expect(alike("'\x95\\', ?", known));
  expect(alike("`\xE8\xA1\xA8`, ?", known));
}

it("is in doubt about two dashes before a byte that is no blank in ASCII") {
  mp_sql_mode utf8_known = {.charset_known = true},
              latin_known = {.charset_known = true, .reading = {.charset = MP_CHARSET_BYTES}};
  expect(!alike("1 --\xA0 ?\n", escaping));
  expect(alike("1 --\xA0 ?\n", utf8_known));
  expect(!alike("1 --\xA0 ?\n", latin_known));
}

it("is in doubt about an executable comment that would end elsewhere if it were none") {
  expect(alike("/*!50000 ? */ ?", escaping));
  expect(alike("/*! /* ' */ '?' ? */ ?", escaping));
  expect(!alike("/*! '*/' */ '?', ?", escaping));
  expect(!alike("/*!999999 it's */ 'a', ?", escaping));
}

it("is in doubt about nothing in ordinary statements") {
  expect(alike("SELECT a, `b`, 'c''d', \"e\" FROM t -- ?\nWHERE a = ? /* ' */ AND b = ?", unsure));
}

it("knows the places of whole numbers") {
  static const struct {
    const char *sql;
    bool whole;
  } places[] = {
      {"SELECT ?", false},
      {"SELECT 1 LIMIT ?", true},
      {"SELECT 1 limit ?", true},
      {"SELECT 1 LIMIT/* a, */?", true},
      {"SELECT 1 LIMIT 5, ?", true},
      {"SELECT 1 LIMIT ? , ?", true},
      {"SELECT 1 LIMIT 5 -- ,\n , ?", true},
      {"SELECT 1 LIMIT 5 OFFSET ?", true},
      {"SELECT 1 LIMIT ROWS EXAMINED ?", true},
      {"SELECT 1 OFFSET 1 ROWS FETCH NEXT ?", true},
      {"SELECT 1 LIMIT 5), ?", false},
      {"SELECT offset, ?", false},
      {"SELECT unlimited ?", false},
      {"SELECT 'LIMIT' ?", false},
      {"SELECT 'a LIMIT ' ?", false},
      {"SELECT `LIMIT` ?", false},
      {"SELECT LIMIT = ?", false},
      {"SELECT 1, ?", false},
  };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    mp_scanner scanner;
    spec_note("%s", places[i].sql);
    mp_scanner_init(&scanner, places[i].sql, strlen(places[i].sql), ordinary);
    bool whole = false;
    while (mp_scanner_next(&scanner))
      whole = mp_scanner_needs_whole(&scanner);
    expect_equal(whole, places[i].whole);
  }
}

/* ---- what a statement leaves behind ---- */

static bool may_set_charset(const char *sql) {
  return mp_sql_may_set_charset(sql, strlen(sql), mp_sql_effect_of(sql, strlen(sql)));
}

it("sees what may choose another charset") {
  static const char *const may[] = {"SET NAMES latin1",
                                    "set names latin1",
                                    "SET\tCharSet latin1",
                                    "SET @a = 1, character_set_client = latin1",
                                    " /* */ SET @@`character_set_client` = latin1",
                                    "SET @@\xc3\xa7haracter_set_client = latin1",
                                    "SET STATEMENT max_statement_time = 1 FOR EXECUTE s",
                                    "/*!40101 SET NAMES latin1 */",
                                    "EXECUTE s",
                                    "EXECUTE IMMEDIATE @sql",
                                    "BEGIN NOT ATOMIC SET NAMES latin1; END",
                                    NULL};
  static const char *const may_not[] = {"",
                                        "SET",
                                        "SET time_zone = 'UTC'",
                                        "SELECT 'SET NAMES latin1'",
                                        "INSERT INTO settings VALUES ('character set')",
                                        "CALL p()",
                                        "ALTER TABLE t ADD n INT",
                                        "COMMIT",
                                        NULL};
  for (const char *const *sql = may; *sql; sql++)
    expect(may_set_charset(*sql));
  for (const char *const *sql = may_not; *sql; sql++)
    expect(!may_set_charset(*sql));
  expect(!mp_sql_may_set_charset("SET NAMES", 8, MP_EFFECT_WHOLE));
}

static mp_sql_effect effect_of(const char *sql) {
  return mp_sql_effect_of(sql, strlen(sql));
}

static void expect_effect(mp_sql_effect effect, const char *const *texts) {
  for (; *texts; texts++) {
    spec_note("%s", *texts);
    expect_equal(effect_of(*texts), effect);
  }
}

it("knows the statements that the server undoes as a whole, whatever stands before their first word") {
  static const char *const texts[] = {"SELECT 1",
                                      "select(1)",
                                      "((SELECT 1))",
                                      "( -- a\n(/* b */ SELECT 1) UNION (SELECT 2))",
                                      "WITH a AS (…)",
                                      "VALUES (1)",
                                      "TABLE t",
                                      "INSERT INTO t VALUES (1)",
                                      "REPLACE t SET",
                                      "Update t SET a = 1",
                                      "DELETE FROM t",
                                      "LOAD DATA INFILE 'x' INTO TABLE t",
                                      "SHOW TABLES",
                                      "DESCRIBE t",
                                      "DESC t",
                                      "EXPLAIN SELECT 1",
                                      "DO 0",
                                      "SAVEPOINT a",
                                      "RELEASE SAVEPOINT",
                                      "ROLLBACK TO a",
                                      "USE app",
                                      "SET @a = 1",
                                      "SET @statement = 1",
                                      "SET statements = 1",
                                      "START SLAVE",
                                      "# a\n-- b\nDO 0",
                                      "\t/**/SELECT\n1",
                                      "rollback work to savepoint a",
                                      "",
                                      "-- SELECT",
                                      "/* SELECT",
                                      "ROLLBACK/**/TO a",
                                      "SELECT/* a */1",
                                      NULL};
  expect_effect(MP_EFFECT_WHOLE, texts);
}

it("takes all others for statements of which a part may stay") {
  static const char *const texts[] = {"CALL pay()",
                                      "call`pay`()",
                                      "DROP TABLE there, missing",
                                      "CREATE USER new, existing",
                                      "ALTER TABLE t ADD a INT",
                                      "EXECUTE IMMEDIATE 'CALL pay()'",
                                      "EXECUTE a",
                                      "PREPARE a FROM 'SELECT 1'",
                                      "SET STATEMENT max_statement_time = 1 FOR CALL pay()",
                                      "set /* a */ statement lock_wait_timeout = 1 FOR SELECT 1",
                                      "BEGIN NOT ATOMIC CALL pay(); END",
                                      "BEGIN /* a */ NOT ATOMIC SELECT 1; END",
                                      "BEGIN INSERT INTO t VALUES (1); END",
                                      "IF 1 THEN CALL pay(); END IF",
                                      "a: BEGIN NOT ATOMIC END",
                                      "/*! CALL pay() */",
                                      "/*!50000 SELECT 1 */",
                                      "/*M! SELECT 1 */",
                                      "( /*! SELECT 1 */ )",
                                      "ANALYZE UPDATE t SET a = 1",
                                      "XA COMMIT 'a'",
                                      "SELECTS",
                                      "SELECT_1",
                                      "INSERT1",
                                      "SELEC",
                                      "'SELECT'",
                                      "-",
                                      "/",
                                      NULL};
  expect_effect(MP_EFFECT_PARTIAL, texts);
}

it("knows the statements that end a transaction and may begin another") {
  static const char *const texts[] = {
      "COMMIT",     "commit and chain", "START TRANSACTION", "start /* a */ transaction", "BEGIN", "begin;",
      "BEGIN WORK", "BEGIN -- a",       " COMMIT",

      NULL};
  expect_effect(MP_EFFECT_ENDS, texts);
}

it("recognises ROLLBACK, also behind comments") {
  static const char *const texts[] = {"ROLLBACK",
                                      "  rollback ;",
                                      "Rollback;",
                                      "ROLLBACK WORK",
                                      "ROLLBACK AND CHAIN",
                                      "ROLLBACK WORK AND NO CHAIN RELEASE",
                                      "\n\tROLLBACK\n",
                                      "ROLLBACK/* why */",
                                      "/* app:7 */ ROLLBACK",
                                      "-- why\n # so\n/**/ROLLBACK",
                                      "ROLLBACK /* all of it */ WORK",
                                      NULL};
  expect_effect(MP_EFFECT_ROLLBACK, texts);
}

it("does not look beyond the end of a statement") {
  expect_equal(mp_sql_effect_of("ROLLBACKS", 8), MP_EFFECT_ROLLBACK);
  expect_equal(mp_sql_effect_of("ROLLBACK", 7), MP_EFFECT_PARTIAL);
  expect_equal(mp_sql_effect_of("ROLLBACK TO", 10), MP_EFFECT_ROLLBACK);
  expect_equal(mp_sql_effect_of("BEGIN NOT", 6), MP_EFFECT_ENDS);
  expect_equal(mp_sql_effect_of("SET STATEMENT", 12), MP_EFFECT_WHOLE);
}

it("tells the first word, as much of it as there is room for") {
  char word[6];
  mp_sql_first_word(" ( /* a */ call pay()", 21, word, sizeof word);
  expect_text(word, "CALL");
  mp_sql_first_word("TRUNCATE t", 10, word, sizeof word);
  expect_text(word, "TRUNC");
  mp_sql_first_word("/*! CALL */", 11, word, sizeof word);
  expect_text(word, "");
}
