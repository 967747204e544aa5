/* What the files of the C contender share. */
#ifndef BENCH_C_H
#define BENCH_C_H

#include <mysql.h>

struct task {
  long long count, wall_ns, cpu_ns, sum;
  char words[4][16];
  long long *latencies; /* of `count` requests, where a task measures them; freed by whoever asked */
};

/* Tells the benchmark, and ends the program. */
void fail(const char *message);

/* Port 0 is the socket. */
MYSQL *open_session(int port);

long long now_ns(void);
void start(struct task *task);
void stop(struct task *task);

/* crowd COUNT CALLERS HOW PORT: as many callers as that take turns on 8 sessions, under epoll. */
void crowd(struct task *task);

#endif
