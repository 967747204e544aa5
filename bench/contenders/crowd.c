/* Many callers that take turns on few sessions, under epoll: what waits is a number in a line, and nothing
   else is made for it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "c.h"
#include "flight.h"

enum { SESSIONS = 8, MOST_CALLERS = 10000 };

typedef enum how { NO_RESET, AFTER_THE_REPLY, TOGETHER } how;

struct session {
  MYSQL *mysql;
  int fd, caller; /* caller: -1 while only the flight is read */
  bool busy;
  unsigned flight; /* so many of its replies are to come */
  struct reader reader;
  struct reply reply;
};

struct crowd {
  struct task *task;
  how how;
  int callers, first, waiting; /* the line, a ring */
  int line[MOST_CALLERS];
  long long since_ns[MOST_CALLERS], number[MOST_CALLERS]; /* of the request of each caller */
  long long begun, ended, total;
  int epoll;
  struct session sessions[SESSIONS];
};

/* ---- callers ---- */

static void enter_line(struct crowd *crowd, int caller) {
  if (crowd->begun == crowd->total)
    return;
  crowd->number[caller] = crowd->begun++;
  crowd->since_ns[caller] = now_ns();
  crowd->line[(crowd->first + crowd->waiting++) % crowd->callers] = caller;
}

static int leave_line(struct crowd *crowd) {
  int caller = crowd->line[crowd->first];
  crowd->first = (crowd->first + 1) % crowd->callers;
  crowd->waiting--;
  return caller;
}

/* Time counts from when each caller has had a turn, as long as all want more. */
static void end_request(struct crowd *crowd, int caller) {
  long long number = ++crowd->ended - crowd->callers;
  if (number == 0)
    start(crowd->task);
  else if (number == crowd->task->count)
    stop(crowd->task);
  if (number > 0 && number <= crowd->task->count)
    crowd->task->latencies[number - 1] = now_ns() - crowd->since_ns[caller];
  enter_line(crowd, caller);
}

/* ---- sessions ---- */

static void serve(struct crowd *crowd, struct session *session) {
  char sql[128];
  if (crowd->waiting == 0) {
    session->busy = false;
    return;
  }
  session->busy = true;
  session->caller = leave_line(crowd);
  session->reply = (struct reply){0};
  session->flight = crowd->how == TOGETHER ? FLIGHT_REPLIES : 0;
  snprintf(sql, sizeof sql, "SELECT id, name, price, made FROM bench_rows WHERE id = %lld",
           crowd->number[session->caller] % 10000 + 1);
  send_commands(session->fd, sql, session->mysql->db, crowd->how == TOGETHER);
}

/* Each cell is a byte of length and its text: id, name, price, made. */
static long long sum_of_row(const unsigned char *at) {
  char id[32] = "", price[32] = "";
  memcpy(id, at + 1, at[0] < sizeof id ? at[0] : 0);
  at += 1 + at[0];
  long long length = at[0];
  at += 1 + at[0];
  memcpy(price, at + 1, at[0] < sizeof price ? at[0] : 0);
  return strtoll(id, NULL, 10) + length + (long long)(strtod(price, NULL) * 4);
}

static void after_statement(struct crowd *crowd, struct session *session) {
  int caller = session->caller;
  session->caller = -1;
  if (crowd->how == AFTER_THE_REPLY) {
    send_commands(session->fd, NULL, session->mysql->db, true);
    session->flight = FLIGHT_REPLIES;
  }
  end_request(crowd, caller);
}

static void after_reply(struct crowd *crowd, struct session *session) {
  struct reply reply = session->reply;
  session->reply = (struct reply){0};
  if (session->caller >= 0)
    after_statement(crowd, session);
  else
    check_flight_reply(FLIGHT_REPLIES - session->flight--, reply.columns, reply.rows);
  if (session->flight == 0)
    serve(crowd, session);
}

static void read_session(struct crowd *crowd, struct session *session) {
  const unsigned char *packet;
  size_t length;
  bool row;
  receive(&session->reader, session->fd);
  while (next_packet(&session->reader, &packet, &length)) {
    bool last = ends_reply(&session->reply, packet, length, &row);
    if (row && session->caller >= 0)
      crowd->task->sum += sum_of_row(packet);
    if (last)
      after_reply(crowd, session);
  }
}

static void open_all(struct crowd *crowd, int port) {
  crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < SESSIONS; i++) {
    struct session *session = &crowd->sessions[i];
    session->mysql = open_session(port);
    session->fd = mysql_get_socket(session->mysql);
    fcntl(session->fd, F_SETFL, fcntl(session->fd, F_GETFL) | O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = session};
    epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, session->fd, &event);
  }
}

static void close_all(struct crowd *crowd) {
  for (int i = 0; i < SESSIONS; i++)
    mysql_close(crowd->sessions[i].mysql);
  close(crowd->epoll);
}

static bool is_busy(const struct crowd *crowd) {
  for (int i = 0; i < SESSIONS; i++)
    if (crowd->sessions[i].busy)
      return true;
  return false;
}

static void run(struct crowd *crowd) {
  struct epoll_event events[SESSIONS];
  for (int i = 0; i < crowd->callers; i++)
    enter_line(crowd, i);
  for (int i = 0; i < SESSIONS; i++)
    serve(crowd, &crowd->sessions[i]);
  while (is_busy(crowd)) {
    int count = epoll_wait(crowd->epoll, events, SESSIONS, -1);
    for (int i = 0; i < count; i++)
      read_session(crowd, events[i].data.ptr);
  }
}

static how how_of(const char *word) {
  if (strcmp(word, "none") == 0)
    return NO_RESET;
  return strcmp(word, "together") == 0 ? TOGETHER : AFTER_THE_REPLY;
}

void crowd(struct task *task) {
  struct crowd *crowd = calloc(1, sizeof *crowd);
  int callers = atoi(task->words[0]);
  task->latencies = calloc((size_t)task->count + 1, sizeof *task->latencies);
  if (!crowd || !task->latencies || callers < SESSIONS || callers > MOST_CALLERS)
    fail("no memory, or too many callers");
  crowd->task = task;
  crowd->callers = callers;
  crowd->how = how_of(task->words[1]);
  crowd->total = task->count + 2 * callers;
  open_all(crowd, atoi(task->words[2]));
  run(crowd);
  close_all(crowd);
  free(crowd);
}
