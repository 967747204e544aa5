/* What bench/statements.lua measures against: the same statements from C, with libmariadb's blocking
   calls. baseline SOCKET USER PASSWORD DATABASE TASK COUNT prints seconds of wall and of CPU time. */
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static MYSQL *mysql;

static void fail(const char *message) {
  fprintf(stderr, "baseline: %s\n", message);
  exit(1);
}

static void query(const char *sql, size_t length) {
  if (mysql_real_query(mysql, sql, length))
    fail(mysql_error(mysql));
}

static unsigned long read_result(void) {
  MYSQL_RES *result = mysql_store_result(mysql);
  MYSQL_ROW row;
  unsigned long bytes = 0;
  if (!result)
    fail(mysql_error(mysql));
  while ((row = mysql_fetch_row(result)))
    for (unsigned i = 0; i < mysql_num_fields(result); i++)
      bytes += row[i] ? mysql_fetch_lengths(result)[i] : 0;
  mysql_free_result(result);
  return bytes;
}

static void select_one(int count) {
  for (int i = 0; i < count; i++) {
    query("SELECT 1", 8);
    read_result();
  }
}

static void point_select(int count) {
  for (int i = 0; i < count; i++) {
    char value[16], escaped[33], sql[128];
    snprintf(value, sizeof value, "%d", i % 10000 + 1);
    mysql_real_escape_string(mysql, escaped, value, strlen(value));
    int length =
        snprintf(sql, sizeof sql, "SELECT id, name, price, made FROM bench_rows WHERE id = '%s'", escaped);
    query(sql, (size_t)length);
    read_result();
  }
}

static void point_prepared(int count) {
  static const char sql[] = "SELECT id, name, price, made FROM bench_rows WHERE id = ?";
  MYSQL_STMT *stmt = mysql_stmt_init(mysql);
  int id, number;
  char name[64];
  unsigned long length;
  double price;
  MYSQL_TIME made;
  MYSQL_BIND parameter = {.buffer_type = MYSQL_TYPE_LONG, .buffer = &id};
  MYSQL_BIND columns[4] = {
      {.buffer_type = MYSQL_TYPE_LONG, .buffer = &number},
      {.buffer_type = MYSQL_TYPE_STRING, .buffer = name, .buffer_length = sizeof name, .length = &length},
      {.buffer_type = MYSQL_TYPE_DOUBLE, .buffer = &price},
      {.buffer_type = MYSQL_TYPE_DATETIME, .buffer = &made},
  };
  if (mysql_stmt_prepare(stmt, sql, sizeof sql - 1) || mysql_stmt_bind_param(stmt, &parameter))
    fail(mysql_stmt_error(stmt));
  for (int i = 0; i < count; i++) {
    id = i % 10000 + 1;
    if (mysql_stmt_execute(stmt) || mysql_stmt_bind_result(stmt, columns))
      fail(mysql_stmt_error(stmt));
    while (mysql_stmt_fetch(stmt) == 0)
      ;
    mysql_stmt_free_result(stmt);
  }
  mysql_stmt_close(stmt);
}

static void all_rows(int count) {
  static const char sql[] = "SELECT id, name, price, made FROM bench_rows";
  for (int i = 0; i < count; i++) {
    query(sql, sizeof sql - 1);
    read_result();
  }
}

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const struct {
  const char *name;
  void (*run)(int count);
} tasks[] = {
    {"select_one", select_one},
    {"point_select", point_select},
    {"point_prepared", point_prepared},
    {"all_rows", all_rows},
};

int main(int argc, char **argv) {
  if (argc != 7)
    fail("baseline SOCKET USER PASSWORD DATABASE TASK COUNT");
  mysql = mysql_init(NULL);
  if (!mysql_real_connect(mysql, NULL, argv[2], argv[3], argv[4], 0, argv[1], 0))
    fail(mysql_error(mysql));
  select_one(100);
  for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
    if (strcmp(tasks[i].name, argv[5]) != 0)
      continue;
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    tasks[i].run(atoi(argv[6]));
    printf("%.9f %.9f\n", seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  }
  mysql_close(mysql);
  return 0;
}
