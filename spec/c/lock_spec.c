/* What is told of a statement by its words: whether it takes a lock, whether it only reads. */
#include <string.h>

#include "mypool.h"
#include "spec.h"

static const mp_reading ordinary = {0}, letters = {.no_backslash_escapes = true};

static bool locks(const char *sql) {
  return mp_sql_is_locking(sql, strlen(sql), ordinary);
}

static bool reads(const char *sql) {
  return mp_sql_is_read_only(sql, strlen(sql), ordinary);
}

it("finds a call of GET_LOCK wherever it stands") {
  expect(locks("SELECT GET_LOCK('x', 0)"));
  expect(locks("select get_lock('x', 0)"));
  expect(locks("do Get_Lock('x',0)"));
  expect(locks("SELECT 1, (2+GET_LOCK ('x', 0))"));
  expect(locks("SELECT GET_LOCK\n /* here */ -- and here\n (?, ?)"));
  expect(locks("SELECT 'GET_LOCK', GET_LOCK(?, 0)"));
  expect(locks("UPDATE t SET a=GET_LOCK('x',0)"));
  expect(locks("SET @a=get_lock('x',0)"));
  expect(locks("/*!50000 SELECT GET_LOCK('x', 0) */"));
  expect(locks("SELECT /*!GET_LOCK('x', 0) */"));
  expect(locks("CREATE TABLE t SELECT GET_LOCK('x', 0)"));
  expect(locks("CALL p(GET_LOCK('x', 0))"));
}

it("finds none in quotes, comments, names and longer words") {
  expect(!locks("SELECT 'GET_LOCK(1)'"));
  expect(!locks("SELECT \"GET_LOCK(1)\", 'a\\'GET_LOCK(1)'"));
  expect(!locks("SELECT `GET_LOCK` (1)"));
  expect(!locks("SELECT 1 -- GET_LOCK('x', 0)"));
  expect(!locks("SELECT 1 # GET_LOCK('x', 0)"));
  expect(!locks("SELECT /* GET_LOCK('x', 0) */ 1"));
  expect(!locks("SELECT GET_LOCK, (1)"));
  expect(!locks("SELECT get_lock AS a FROM t WHERE (a)"));
  expect(!locks("SELECT db.get_lock(1)"));
  expect(!locks("SELECT NOT_GET_LOCK(1), GET_LOCKS(1), GET_LOCK1(2)"));
  expect(!locks("SELECT RELEASE_LOCK('x'), IS_FREE_LOCK('x'), IS_USED_LOCK('x'), RELEASE_ALL_LOCKS()"));
  expect(!mp_sql_is_locking("SELECT '\\', GET_LOCK('", 22, ordinary));
  expect(mp_sql_is_locking("SELECT '\\', GET_LOCK('x', 0)", 28, letters));
}

it("does not take what a routine is made of for a call") {
  expect(!locks("CREATE PROCEDURE p() SELECT GET_LOCK('x', 0)"));
  expect(!locks("CREATE OR REPLACE DEFINER = u@h FUNCTION f() RETURNS INT RETURN GET_LOCK('x', 0)"));
  expect(!locks("create trigger t before insert on t for each row set new.a = get_lock('x', 0)"));
  expect(!locks("ALTER EVENT e DO SELECT GET_LOCK('x', 0)"));
  expect(!locks("CREATE VIEW v AS SELECT GET_LOCK('x', 0)"));
}

it("finds statements that lock tables or the server") {
  expect(locks("LOCK TABLES t WRITE"));
  expect(locks("lock table t read"));
  expect(locks("  /* first */ -- and\n LOCK TABLES t WRITE"));
  expect(locks("/*!40000 LOCK TABLES t WRITE */"));
  expect(locks("LOCK INSTANCE FOR BACKUP"));
  expect(locks("BACKUP LOCK t"));
  expect(locks("FLUSH TABLES WITH READ LOCK"));
  expect(locks("flush tables a, b with read /* a */ lock"));
  expect(locks("FLUSH LOCAL TABLES WITH READ LOCK AND DISABLE CHECKPOINT"));
}

it("does not take other statements with these words for such") {
  expect(!locks("UNLOCK TABLES"));
  expect(!locks("BACKUP UNLOCK"));
  expect(!locks("GRANT LOCK TABLES ON *.* TO u"));
  expect(!locks("FLUSH TABLES"));
  expect(!locks("FLUSH TABLES `with read lock`"));
  expect(!locks("SELECT * FROM t LOCK IN SHARE MODE"));
  expect(!locks("ALTER TABLE t ADD a INT, LOCK=NONE"));
  expect(!locks("SELECT block, clock FROM stock"));
  expect(!locks("SELECT 'FLUSH TABLES WITH READ LOCK'"));
  expect(!locks(""));
  expect(!locks("("));
  expect(!locks("lock_it"));
}

it("finds a word at every place of a text") {
  char sql[64];
  for (int at = 0; at < 40; at++) {
    memset(sql, ' ', sizeof sql);
    memcpy(sql + at, "GET_LOCK(1)", 11);
    expect(mp_sql_is_locking(sql, (size_t)at + 11, ordinary));
    memset(sql, 'k', (size_t)at);
    expect(mp_sql_is_locking(sql, (size_t)at + 11, ordinary) == (at == 0));
    if (at > 0)
      sql[at - 1] = ',';
    expect(mp_sql_is_locking(sql, (size_t)at + 11, ordinary));
  }
}

it("tells statements that only read") {
  expect(reads("SELECT 1"));
  expect(reads("(select 1) union (select 2)"));
  expect(reads(" # first\n SHOW TABLES"));
  expect(reads("/*!50000 SELECT 1 */"));
  expect(reads("WITH a AS (SELECT 1) SELECT * FROM a"));
  expect(reads("VALUES (1)"));
  expect(reads("DESC t"));
  expect(reads("EXPLAIN DELETE FROM t"));
  expect(reads(""));
}

it("tells those that may write") {
  expect(!reads("INSERT INTO t VALUES (1) RETURNING a"));
  expect(!reads("REPLACE t SELECT 1"));
  expect(!reads("/* SELECT */ UPDATE t SET a = 1"));
  expect(!reads("WITH a AS (SELECT 1) DELETE FROM t"));
  expect(!reads("CALL p()"));
  expect(!reads("BEGIN NOT ATOMIC SELECT 1; END"));
  expect(!reads("SELECTED"));
  expect(!reads("ANALYZE UPDATE t SET a = 1"));
}
