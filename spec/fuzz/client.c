/* Fuzzes the client: a server's bytes go through a socket pair to the sessions of a pool. The input is all
   that the server sends, on one connection after the other: whenever the client waits, it gets the next reply
   of it, and the end of the connection when there is none left. So every input ends.

   client record SOCKET FILE writes down what a real server sends: the input to begin with. */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"
#include "mariadb.h"
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
int LLVMFuzzerInitialize(int *count, char ***words);

enum { DESCRIPTORS = 1024, HEADER = 4 };

static struct {
  const uint8_t *next;
  size_t left;
  int peers[DESCRIPTORS]; /* the other end of the client's socket; 0: none */
  bool told;              /* that there is something to read, which the client has not read yet */
  FILE *record;           /* of a real server */
} server;

/* ---- packets: their length in three bytes, their number in one ---- */

static size_t packet_size(const uint8_t *at, size_t left) {
  size_t size = left < HEADER ? left : HEADER + (at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16);
  return size < left ? size : left;
}

/* Up to where the numbers begin anew: what a server sends before it waits in turn. */
static size_t reply_size(const uint8_t *at, size_t left) {
  size_t size = packet_size(at, left);
  for (uint8_t number = left > 3 ? at[3] : 0; left - size > 3 && at[size + 3] == (uint8_t)(number + 1);
       number++)
    size += packet_size(at + size, left - size);
  return size;
}

/* ---- the socket pair ---- */

static void *next_function(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  FUZZ_CHECK(function);
  return function;
}

/* Nobody reads what the client sends; it must not fill the socket either. */
static void empty(int peer) {
  char unread[4096];
  while (recv(peer, unread, sizeof unread, MSG_DONTWAIT) > 0)
    ;
}

static void feed(int fd) {
  int peer = fd >= 0 && fd < DESCRIPTORS ? server.peers[fd] : 0;
  if (!peer)
    return;
  empty(peer);
  size_t size = reply_size(server.next, server.left);
  ssize_t sent = size > 0 ? send(peer, server.next, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
  if (sent > 0) {
    server.next += sent;
    server.left -= (size_t)sent;
  } else if (size == 0) {
    shutdown(peer, SHUT_WR);
  }
}

/* In the places of the system's functions, for libmariadb as well. */
int connect(int fd, const struct sockaddr *address, socklen_t length) {
  int pair[2], flags = fcntl(fd, F_GETFL);
  if (server.record)
    return ((int (*)(int, const struct sockaddr *, socklen_t))next_function("connect"))(fd, address, length);
  FUZZ_CHECK(fd < DESCRIPTORS && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  dup2(pair[0], fd);
  fcntl(fd, F_SETFL, flags);
  close(pair[0]);
  if (server.peers[fd])
    close(server.peers[fd]);
  server.peers[fd] = pair[1];
  return 0;
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  int (*real)(struct pollfd *, nfds_t, int) = (int (*)(struct pollfd *, nfds_t, int))next_function("poll");
  if (server.record)
    return real(fds, count, timeout);
  bool waits = timeout != 0, ready = real(fds, count, 0) != 0;
  for (nfds_t i = 0; waits && (!ready || server.told) && i < count; i++)
    feed(fds[i].fd);
  server.told |= waits;
  return real(fds, count, 0);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags) {
  ssize_t (*real)(int, void *, size_t, int) = (ssize_t(*)(int, void *, size_t, int))next_function("recv");
  ssize_t received = real(fd, bytes, length, flags);
  if (server.record && received > 0 && !(flags & MSG_PEEK))
    fwrite(bytes, 1, (size_t)received, server.record);
  if (!(flags & MSG_PEEK))
    server.told = false;
  return received;
}

static void hang_up(void) {
  for (int fd = 0; fd < DESCRIPTORS; fd++)
    if (server.peers[fd])
      close(server.peers[fd]);
  memset(server.peers, 0, sizeof server.peers);
}

/* ---- the client ---- */

static mp_pool *pool;
static mp_loan *loan;
static mp_wait waited;
static mp_error error;

/* Time does not go by where nothing comes any more: it is put forward. */
static int64_t skipped_ns;
static int64_t (*clock_ns)(mp_driver *);

static int64_t now_ns(mp_driver *driver) {
  return clock_ns(driver) + skipped_ns;
}

/* What the caller of an operation does meanwhile. An operation that waits for nothing would wait for ever. */
static void await(void) {
  struct pollfd wanted = {.fd = waited.fd, .events = POLLIN};
  for (int fd = 0; fd < DESCRIPTORS; fd++)
    feed(fd);
  if (poll(&wanted, 1, server.record ? -1 : 0) > 0)
    return;
  FUZZ_CHECK(waited.until_ns != MP_NEVER);
  int64_t left_ns = waited.until_ns - mp_loan_now(loan);
  skipped_ns += left_ns > 0 ? left_ns : 0;
}

/* What is true of every outcome. */
static bool is_done(mp_status status) {
  FUZZ_CHECK(status == MP_DONE || (status == MP_FAILED && error.kind != MP_ERR_NONE));
  FUZZ_CHECK(status == MP_DONE || memchr(error.message, '\0', sizeof error.message));
  return status == MP_DONE;
}

static bool finish(mp_status status) {
  while (status == MP_WAIT) {
    await();
    status = mp_loan_step(loan, &waited, &error);
  }
  return is_done(status);
}

static volatile unsigned looked_at;

/* As src/lua/cells.c reads it; the bytes of all others are looked at, too. */
static void read_cell(mp_type type, const char *cell, size_t length) {
  uint64_t digits;
  double number;
  if (type == MP_TYPE_FLOAT)
    mp_read_float(cell, length, &number);
  else if (type != MP_TYPE_STRING)
    mp_read_digits(cell, length, &digits);
  for (size_t i = 0; i < length; i++)
    looked_at += (unsigned char)cell[i];
}

static void read_row(const mp_row *row, unsigned columns) {
  for (unsigned i = 0; i < columns; i++) {
    mp_column column = mp_loan_column(loan, i);
    read_cell(MP_TYPE_STRING, column.name, column.name_length);
    if (row->values && row->values[i].kind == MP_VALUE_STRING)
      read_cell(MP_TYPE_STRING, row->values[i].as.text.bytes, row->values[i].as.text.length);
    else if (row->cells && row->cells[i])
      read_cell(column.type, row->cells[i], row->lengths[i]);
  }
}

static bool read_rows(void) {
  mp_summary summary;
  mp_row row;
  mp_loan_summary(loan, &summary);
  while (finish(mp_loan_fetch(loan, &row, &waited, &error))) {
    if (!(row.cells || row.values))
      return true;
    read_row(&row, summary.columns);
  }
  return false;
}

static void read_results(bool done) {
  bool more = true;
  while (done && more)
    done = read_rows() && finish(mp_loan_next_result(loan, &more, &waited, &error));
}

static void query(const char *sql) {
  mp_query_options options = {0};
  read_results(finish(mp_loan_query(loan, sql, strlen(sql), &options, &waited, &error)));
}

static const mp_value values[] = {
    {.kind = MP_VALUE_INTEGER, .as.integer = 7},
    {.kind = MP_VALUE_STRING, .as.text = {"text", 4}},
    {.kind = MP_VALUE_FLOAT, .as.number = 2.5},
    {.kind = MP_VALUE_NULL},
};

/* `rows` times two values, or, for 0, as many as the server says. */
static void execute(const char *sql, size_t rows) {
  mp_query_options options = {0};
  if (!finish(mp_loan_prepare(loan, sql, strlen(sql), 0, &waited, &error)))
    return;
  uint64_t id = mp_loan_prepared_id(loan);
  int wanted = mp_loan_parameters(loan, id);
  bool fits = rows > 0 ? wanted == 2 : wanted >= 0 && wanted <= 4;
  for (int i = 0; fits && i < 2; i++)
    read_results(finish(mp_loan_execute(loan, id, values, rows, &options, &waited, &error)));
  mp_loan_close_prepared(loan, id);
}

/* A bit of everything that brings packets. */
static void converse(void) {
  query(
      "SELECT 1 AS a, 'text' AS b, NULL AS c, 2.5e0 AS d, NOW() AS e, b'101' AS f, CAST(7 AS UNSIGNED) AS g");
  query("SELECT seq, REPEAT('x', seq * 130) AS wide FROM seq_1_to_3");
  query("SELECT no_such_column");
  query("CALL fuzzed()");
  execute("SELECT ? AS a, ? AS b, ? AS c, ? AS d, seq, NOW() AS e, CURRENT_TIME(3) AS f, 1.5e0 AS g, CAST(2 "
          "AS FLOAT) AS h, "
          "REPEAT('y', 300) AS i FROM seq_1_to_2",
          0);
  execute("CALL fuzzed()", 0);
  execute("INSERT INTO fuzzed (n, x) VALUES (?, ?)", 2);
  finish(mp_loan_ping(loan, 20 * MP_SECOND, &waited, &error));
  for (int i = 0; i < 2; i++) /* the replies to the second are familiar */
    finish(mp_loan_reset(loan, &waited, &error));
  query("START TRANSACTION");
  finish(mp_loan_reset(loan, &waited, &error));
  query("SELECT 'streamed' AS a FROM seq_1_to_3");
}

static char *password(void *context, mp_error *err) {
  (void)context;
  (void)err;
  return strdup("secret");
}

static mp_driver *new_driver(const char *socket) {
  static const char *const init_sql[] = {"SET @a = 1", "SET @b = 2"};
  const mp_address path = {.socket = socket, .port = 3306};
  mp_server address = {.addresses = &path,
                       .address_count = 1,
                       .user = "app",
                       .database = "app",
                       .charset = "utf8mb4",
                       .collation = "utf8mb4_general_ci",
                       .init_sql = init_sql,
                       .init_sql_count = 2,
                       .connect_timeout_ns = 20 * MP_SECOND,
                       .password = password};
  return mp_mariadb_new(&address);
}

static void check_counts(void) {
  mp_stats stats;
  mp_pool_stats(pool, &stats);
  FUZZ_CHECK(stats.lent == 0 && stats.waiting == 0 &&
             stats.opened - stats.closed == stats.idle + stats.recovering);
}

static void run(const char *socket) {
  mp_pool_config config = {.hosts = 1,
                           .max_size = 1,
                           .retries = 1,
                           .reset = true,
                           .idle_timeout_ns = MP_NEVER,
                           .max_lifetime_ns = MP_NEVER,
                           .query_timeout_ns = MP_NEVER,
                           .reset_timeout_ns = 20 * MP_SECOND,
                           .leak_after_ns = MP_NEVER};
  mp_driver *driver = new_driver(socket);
  FUZZ_CHECK(driver);
  clock_ns = driver->now_ns;
  driver->now_ns = now_ns;
  pool = mp_pool_new(&config, driver);
  FUZZ_CHECK(pool);
  for (int loans = 0; loans < 2; loans++) {
    loan = mp_loan_new(pool);
    FUZZ_CHECK(loan);
    if (finish(mp_loan_checkout(loan, MP_SECOND / 20, "here", &waited, &error)))
      converse();
    mp_loan_release(loan, true);
    check_counts();
    mp_loan_free(loan);
  }
  mp_pool_unref(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  server.next = data;
  server.left = size;
  skipped_ns = 0;
  server.told = false;
  run("fuzz");
  hang_up();
  return 0;
}

/* ---- the record ---- */

int LLVMFuzzerInitialize(int *count, char ***words) {
  if (*count != 4 || strcmp((*words)[1], "record") != 0)
    return 0;
  server.record = fopen((*words)[3], "w");
  FUZZ_CHECK(server.record);
  run((*words)[2]);
  FUZZ_CHECK(fclose(server.record) == 0);
  exit(0);
}

/* ---- mutations ---- */

/* Most keep what is said of the length true: else all that follows would be another conversation. */
static size_t mutate_packet(uint8_t *data, size_t size, size_t most, size_t at) {
  size_t old = packet_size(data + at, size - at), tail = size - at - old;
  if (old <= HEADER || most - size < 64)
    return LLVMFuzzerMutate(data, size, most);
  memmove(data + most - tail, data + at + old, tail);
  size_t payload = LLVMFuzzerMutate(data + at + HEADER, old - HEADER, most - tail - at - HEADER);
  data[at] = (uint8_t)payload;
  data[at + 1] = (uint8_t)(payload >> 8);
  data[at + 2] = (uint8_t)(payload >> 16);
  memmove(data + at + HEADER + payload, data + most - tail, tail);
  return at + HEADER + payload + tail;
}

static size_t drop_packet(uint8_t *data, size_t size, size_t at) {
  size_t old = packet_size(data + at, size - at);
  memmove(data + at, data + at + old, size - at - old);
  return size - old;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  size_t packets = 0, at = 0;
  for (size_t i = 0; i < size; i += packet_size(data + i, size - i))
    packets++;
  if (packets == 0 || seed % 16 == 0)
    return LLVMFuzzerMutate(data, size, most);
  for (size_t skip = seed / 16 % packets; skip > 0; skip--)
    at += packet_size(data + at, size - at);
  return seed % 16 == 1 ? drop_packet(data, size, at) : mutate_packet(data, size, most, at);
}
