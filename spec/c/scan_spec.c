/* The scanner: what is a placeholder and what only looks like one. */
#include "scan.h"

#include <stdio.h>
#include <string.h>

#include "mypool.h"
#include "spec.h"

/* The statement with every placeholder shown as {}, and as <> in an executable comment. */
static const char *marked(const char *sql, bool no_backslash_escapes) {
  static char text[512];
  mp_scanner scanner;
  const char *from = sql, *found;
  *text = '\0';
  mp_scanner_init(&scanner, sql, strlen(sql), no_backslash_escapes);
  while ((found = mp_scanner_next(&scanner))) {
    strncat(text, from, (size_t)(found - from));
    strcat(text, scanner.in_executable_comment ? "<>" : "{}");
    from = found + 1;
  }
  strcat(text, from);
  return text;
}

#define expect_marked(sql, text) expect_text(marked(sql, false), text)
#define expect_marked_nbe(sql, text) expect_text(marked(sql, true), text)

it("finds placeholders wherever they stand") {
  expect_marked("?", "{}");
  expect_marked("SELECT ?,?+(?)", "SELECT {},{}+({})");
  expect_marked("a=?AND b=?", "a={}AND b={}");
}

it("finds none in an empty statement, and none without any") {
  mp_scanner scanner;
  expect_marked("", "");
  expect_marked("SELECT 1", "SELECT 1");
  mp_scanner_init(&scanner, "", 0, false);
  expect(!mp_scanner_next(&scanner));
  expect(!mp_scanner_next(&scanner));
}

it("does not look beyond the end") {
  mp_scanner scanner;
  mp_scanner_init(&scanner, "a/*?", 2, false);
  expect(!mp_scanner_next(&scanner));
  mp_scanner_init(&scanner, "--?", 1, false);
  expect(!mp_scanner_next(&scanner));
  mp_scanner_init(&scanner, "'\\'?", 2, false);
  expect(!mp_scanner_next(&scanner));
  expect(scanner.at == scanner.end);
  mp_scanner_init(&scanner, "/*!?", 2, false);
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
  mp_scanner_init(&scanner, "'\0?' ?", 6, false);
  const char *found = mp_scanner_next(&scanner);
  expect(found && !mp_scanner_next(&scanner));
}

it("finds the ends of statements by the same rules") {
  mp_scanner scanner;
  const char *sql = "SET a = ';' ; SET b = 1 /* ; */ ; c";
  mp_scanner_init(&scanner, sql, strlen(sql), false);
  expect_equal(mp_scanner_find(&scanner, ';') - sql, 12);
  expect_equal(mp_scanner_find(&scanner, ';') - sql, 32);
  expect(!mp_scanner_find(&scanner, ';'));
}

static bool is_rollback(const char *sql) {
  return mp_sql_is_rollback(sql, strlen(sql));
}

it("recognises ROLLBACK") {
  expect(is_rollback("ROLLBACK"));
  expect(is_rollback("  rollback ;"));
  expect(is_rollback("Rollback;"));
  expect(is_rollback("ROLLBACK WORK"));
  expect(is_rollback("ROLLBACK AND CHAIN"));
  expect(is_rollback("ROLLBACK WORK AND NO CHAIN RELEASE"));
  expect(is_rollback("\n\tROLLBACK\n"));
  expect(is_rollback("ROLLBACK/* why */"));
}

it("recognises ROLLBACK behind comments") {
  expect(is_rollback("/* app:7 */ ROLLBACK"));
  expect(is_rollback("-- why\n # so\n/**/ROLLBACK"));
  expect(is_rollback("ROLLBACK /* all of it */ WORK"));
  expect(!is_rollback("-- ROLLBACK"));
  expect(!is_rollback("/* ROLLBACK */"));
  expect(!is_rollback("/*! ROLLBACK */"));
}

it("does not take ROLLBACK TO, nor anything else, for it") {
  expect(!is_rollback("ROLLBACK TO a"));
  expect(!is_rollback("ROLLBACK TO SAVEPOINT a"));
  expect(!is_rollback("rollback work to a"));
  expect(!is_rollback("ROLLBACK /* only */ TO a"));
  expect(!is_rollback("ROLLBACKS"));
  expect(!is_rollback("ROLLBACK_ALL"));
  expect(!is_rollback("ROLLBAC"));
  expect(!is_rollback("COMMIT"));
  expect(!is_rollback("SELECT 'ROLLBACK'"));
  expect(!is_rollback(""));
  expect(!is_rollback("-"));
  expect(!is_rollback("/"));
}

it("does not look beyond the end for ROLLBACK") {
  expect(mp_sql_is_rollback("ROLLBACKS", 8));
  expect(!mp_sql_is_rollback("ROLLBACK", 7));
  expect(mp_sql_is_rollback("ROLLBACK TO", 10));
}
