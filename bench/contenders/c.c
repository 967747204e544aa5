/* The baseline: what the work costs in C, with libmariadb's blocking calls on one session and no pool.
   c SOCKET USER PASSWORD DATABASE answers the lines that bench/child.lua describes. */
#include "c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <ma_pvio.h> /* needs mysql.h before it */

#include "flight.h"

#define PORTS 65536

static char **account; /* SOCKET USER PASSWORD DATABASE */
static MYSQL *mysql;   /* the session of the task */

/* ---- sessions ---- */

void fail(const char *message) {
  printf("error %s\n", message);
  exit(1);
}

MYSQL *open_session(int port) {
  MYSQL *session = mysql_init(NULL);
  mysql_options(session, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (!mysql_real_connect(session, port ? "127.0.0.1" : NULL, account[1], account[2], account[3],
                          (unsigned)port, port ? NULL : account[0], 0))
    fail(mysql_error(session));
  return session;
}

/* One session for each way to the server; port 0 is the socket. */
static void use_session(int port) {
  static MYSQL *sessions[PORTS];
  if (!sessions[port])
    sessions[port] = open_session(port);
  mysql = sessions[port];
}

/* ---- statements ---- */

static void check(int failed) {
  if (failed)
    fail(mysql_error(mysql));
}

static void query(const char *sql) {
  check(mysql_real_query(mysql, sql, strlen(sql)));
}

static long long number(const char *text) {
  return strtoll(text, NULL, 10);
}

static long long store_one(void) {
  MYSQL_RES *result = mysql_store_result(mysql);
  check(!result);
  long long value = number(mysql_fetch_row(result)[0]);
  mysql_free_result(result);
  return value;
}

static long long select_one(void) {
  query("SELECT 1");
  return store_one();
}

/* id, name, price, made */
static long long sum_of_row(MYSQL_ROW row, const unsigned long *lengths) {
  return number(row[0]) + (long long)lengths[1] + (long long)(strtod(row[2], NULL) * 4);
}

/* ---- time ---- */

static long long time_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

long long now_ns(void) {
  return time_of(CLOCK_MONOTONIC);
}

void start(struct task *task) {
  task->cpu_ns -= time_of(CLOCK_PROCESS_CPUTIME_ID);
  task->wall_ns -= now_ns();
}

void stop(struct task *task) {
  task->wall_ns += now_ns();
  task->cpu_ns += time_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* ---- tasks ---- */

static void held(struct task *task) {
  start(task);
  for (long long i = 0; i < task->count; i++)
    task->sum += select_one();
  stop(task);
}

/* What a careful program does by hand: "reset" is the server's own reset, "restore" what that leaves behind,
   too. */
static void clean(const char *how) {
  if (strcmp(how, "reset") != 0 && strcmp(how, "restore") != 0)
    return;
  check(mysql_reset_connection(mysql));
  if (strcmp(how, "restore") == 0)
    check(mysql_select_db(mysql, account[3]));
}

/* ---- equal work: what mypool does between two loans ---- */

/* libmariadb reads ahead, and what it has read belongs to the flight. */
static void take_read_ahead(struct reader *reader) {
  MARIADB_PVIO *pvio = mysql->net.pvio;
  if (!pvio->cache || !pvio->cache_pos)
    return;
  reader->end = (size_t)(pvio->cache + pvio->cache_size - pvio->cache_pos);
  memcpy(reader->bytes, pvio->cache_pos, reader->end);
  pvio->cache_pos += reader->end;
}

static void read_replies_of_flight(void) {
  static struct reader reader;
  reader.at = reader.end = 0;
  take_read_ahead(&reader);
  read_flight(&reader, mysql_get_socket(mysql));
}

/* The flight goes out behind the reply, or with the statement; its replies are read before the next. */
static long long select_one_and_clean(bool together) {
  int fd = mysql_get_socket(mysql);
  long long value;
  if (together) {
    send_commands(fd, "SELECT 1", account[3], true);
    mysql->net.pkt_nr = 1;
    check(mysql_read_query_result(mysql));
    value = store_one();
  } else {
    value = select_one();
    send_commands(fd, NULL, account[3], true);
  }
  read_replies_of_flight();
  return value;
}

static long long one_loan(const char *how) {
  bool together = strcmp(how, "together") == 0;
  if (together || strcmp(how, "flight") == 0)
    return select_one_and_clean(together);
  long long value = select_one();
  clean(how);
  return value;
}

static void pause_us(long long us) {
  struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
  nanosleep(&pause, NULL);
}

/* loan COUNT PORT SESSIONS PAUSE_US HOW: the time between the loans does not count. */
static void loan(struct task *task) {
  long long pause = number(task->words[2]);
  use_session(atoi(task->words[0]));
  start(task);
  for (long long i = 0; i < task->count; i++) {
    task->sum += one_loan(task->words[3]);
    if (!pause)
      continue;
    stop(task);
    pause_us(pause);
    start(task);
  }
  stop(task);
}

static void point_text(struct task *task) {
  start(task);
  for (long long i = 0; i < task->count; i++) {
    char value[24], escaped[49], sql[128];
    snprintf(value, sizeof value, "%lld", i % 10000 + 1);
    mysql_real_escape_string(mysql, escaped, value, strlen(value));
    snprintf(sql, sizeof sql, "SELECT id, name, price, made FROM bench_rows WHERE id = '%s'", escaped);
    query(sql);
    MYSQL_RES *result = mysql_store_result(mysql);
    check(!result);
    MYSQL_ROW row = mysql_fetch_row(result);
    task->sum += sum_of_row(row, mysql_fetch_lengths(result));
    mysql_free_result(result);
  }
  stop(task);
}

static void check_statement(MYSQL_STMT *statement, int failed) {
  if (failed)
    fail(mysql_stmt_error(statement));
}

static MYSQL_STMT *prepare(const char *sql) {
  MYSQL_STMT *statement = mysql_stmt_init(mysql);
  check_statement(statement, mysql_stmt_prepare(statement, sql, strlen(sql)));
  return statement;
}

static void point_prepared(struct task *task) {
  int id, number_;
  char name[64];
  unsigned long length;
  double price;
  MYSQL_TIME made;
  MYSQL_BIND parameter = {.buffer_type = MYSQL_TYPE_LONG, .buffer = &id};
  MYSQL_BIND columns[4] = {
      {.buffer_type = MYSQL_TYPE_LONG, .buffer = &number_},
      {.buffer_type = MYSQL_TYPE_STRING, .buffer = name, .buffer_length = sizeof name, .length = &length},
      {.buffer_type = MYSQL_TYPE_DOUBLE, .buffer = &price},
      {.buffer_type = MYSQL_TYPE_DATETIME, .buffer = &made},
  };
  MYSQL_STMT *statement = prepare("SELECT id, name, price, made FROM bench_rows WHERE id = ?");
  check_statement(statement, mysql_stmt_bind_param(statement, &parameter));
  start(task);
  for (long long i = 0; i < task->count; i++) {
    id = (int)(i % 10000 + 1);
    check_statement(statement, mysql_stmt_execute(statement) || mysql_stmt_bind_result(statement, columns));
    while (mysql_stmt_fetch(statement) == 0)
      task->sum += number_ + (long long)length + (long long)(price * 4);
    mysql_stmt_free_result(statement);
  }
  stop(task);
  mysql_stmt_close(statement);
}

#define ALL_ROWS "SELECT id, name, price, made FROM bench_rows"

/* "2024-01-01 00:07:00": the minutes. */
static long long minutes(const char *made) {
  return number(made + 14);
}

static void rows_kept(struct task *task) {
  MYSQL_ROW row;
  start(task);
  query(ALL_ROWS);
  MYSQL_RES *result = mysql_store_result(mysql);
  check(!result);
  stop(task);
  while ((row = mysql_fetch_row(result)))
    task->sum += sum_of_row(row, mysql_fetch_lengths(result)) + minutes(row[3]);
  start(task);
  mysql_free_result(result);
  stop(task);
}

static void rows_streamed(struct task *task) {
  MYSQL_ROW row;
  start(task);
  query(ALL_ROWS);
  MYSQL_RES *result = mysql_use_result(mysql);
  check(!result);
  while ((row = mysql_fetch_row(result)))
    task->sum += number(row[0]) + (long long)mysql_fetch_lengths(result)[1];
  mysql_free_result(result);
  stop(task);
}

static void insert_one(struct task *task) {
  start(task);
  query("START TRANSACTION");
  for (long long i = 1; i <= task->count; i++) {
    char name[40], escaped[81], sql[200];
    int length = snprintf(name, sizeof name, "name number %lld", i);
    mysql_real_escape_string(mysql, escaped, name, (unsigned long)length);
    snprintf(sql, sizeof sql, "INSERT INTO bench_inserts VALUES (%lld, '%s', %.17g)", i, escaped,
             (double)i * 1.25);
    query(sql);
  }
  query("COMMIT");
  stop(task);
}

struct inserted {
  int id;
  char name[32];
  double price;
  unsigned long length;
};

static void fill(struct inserted *rows, int count, int first) {
  for (int i = 0; i < count; i++) {
    rows[i].id = first + i;
    rows[i].length = (unsigned long)snprintf(rows[i].name, sizeof rows[i].name, "name number %d", first + i);
    rows[i].price = (first + i) * 1.25;
  }
}

/* By array binding, 1000 rows at a time. */
static void insert_many(struct task *task) {
  static struct inserted rows[1000];
  unsigned size = 1000;
  size_t stride = sizeof *rows;
  MYSQL_BIND columns[3] = {
      {.buffer_type = MYSQL_TYPE_LONG, .buffer = &rows->id},
      {.buffer_type = MYSQL_TYPE_STRING, .buffer = rows->name, .length = &rows->length},
      {.buffer_type = MYSQL_TYPE_DOUBLE, .buffer = &rows->price},
  };
  start(task);
  query("START TRANSACTION");
  MYSQL_STMT *statement = prepare("INSERT INTO bench_inserts VALUES (?, ?, ?)");
  mysql_stmt_attr_set(statement, STMT_ATTR_ARRAY_SIZE, &size);
  mysql_stmt_attr_set(statement, STMT_ATTR_ROW_SIZE, &stride);
  for (int i = 0; i < task->count; i += (int)size) {
    fill(rows, (int)size, i + 1);
    check_statement(statement, mysql_stmt_bind_param(statement, columns) || mysql_stmt_execute(statement));
  }
  mysql_stmt_close(statement);
  query("COMMIT");
  stop(task);
}

/* sessions COUNT: opens them, and keeps them. */
static void sessions(struct task *task) {
  for (long long i = 0; i < task->count; i++) {
    mysql = open_session(0);
    task->sum += select_one();
  }
}

static const struct {
  const char *name;
  void (*run)(struct task *task);
} tasks[] = {
    {"held", held},
    {"loan", loan},
    {"point_text", point_text},
    {"point_prepared", point_prepared},
    {"rows_kept", rows_kept},
    {"rows_streamed", rows_streamed},
    {"insert_one", insert_one},
    {"insert_many", insert_many},
    {"sessions", sessions},
    {"crowd", crowd},
};

static int compare(const void *a, const void *b) {
  long long x = *(const long long *)a, y = *(const long long *)b;
  return (x > y) - (x < y);
}

static void print_latencies(struct task *task) {
  static const double shares[] = {0.5, 0.99, 0.999};
  if (!task->latencies)
    return;
  qsort(task->latencies, (size_t)task->count, sizeof *task->latencies, compare);
  for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
    printf(" %lld", task->latencies[(size_t)(shares[i] * (double)(task->count - 1))]);
  free(task->latencies);
}

static void answer(const char *line) {
  char name[32] = "";
  struct task task = {0};
  char(*words)[16] = task.words;
  sscanf(line, "%31s %lld %15s %15s %15s %15s", name, &task.count, words[0], words[1], words[2], words[3]);
  for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
    if (strcmp(tasks[i].name, name) == 0) {
      use_session(0);
      tasks[i].run(&task);
      printf("%lld %lld %lld", task.wall_ns, task.cpu_ns, task.sum);
      print_latencies(&task);
      printf("\n");
      return;
    }
  fail("no such task");
}

int main(int count, char **arguments) {
  char line[256];
  if (count != 5)
    fail("c SOCKET USER PASSWORD DATABASE");
  setvbuf(stdout, NULL, _IOLBF, 0);
  account = arguments + 1;
  use_session(0);
  printf("ready Connector/C %s\n", mysql_get_client_info());
  while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n") != 0)
    answer(line);
  return 0;
}
