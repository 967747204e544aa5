/* The addresses of a host. One that answers nothing must not cost the time of the others: in place they get
   equal shares of it; on a helper thread they are tried side by side, each on a thread of its own, for TLS
   handshakes block. The first to be logged in serves. The idea is that of Happy Eyeballs (RFC 8305), but that
   there a connection made decides. */
#include "addresses.h"

#include <arpa/inet.h>
#include <errmsg.h>
#include <mysqld_error.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "close.h"
#include "helper.h"
#include "login.h"

/* After so long without success or failure the next address is tried besides. */
static const int64_t head_start_ns = 300 * MP_MILLISECOND;

enum { MOST_AT_ONCE = 6 }; /* so that threads and sockets stay few */

/* ---- the addresses ---- */

static bool is_address(const char *host) {
  unsigned char bytes[sizeof(struct in6_addr)];
  return strchr(host, '%') || inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* What a resolver is asked, which may outlive the session. */
typedef struct question {
  char *host;
  struct addrinfo *list;
  int code;
} question;

static void ask(void *argument) {
  question *asked = argument;
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  asked->code = getaddrinfo(asked->host, NULL, &hints, &asked->list);
}

static void drop(void *argument) {
  question *asked = argument;
  if (asked->list)
    freeaddrinfo(asked->list);
  free(asked->host);
  free(asked);
}

static question *question_new(const char *host) {
  question *asked = calloc(1, sizeof *asked);
  if (asked)
    asked->host = strdup(host);
  if (asked && asked->host)
    return asked;
  free(asked);
  return NULL;
}

static struct addrinfo *take_answer(question *asked, mp_error *err) {
  struct addrinfo *list = asked->code == 0 ? asked->list : NULL;
  if (!list)
    mp_fail(err, MP_ERR_CONNECT, CR_UNKNOWN_HOST, "Unknown server host '%s' (%s)", asked->host,
            gai_strerror(asked->code));
  asked->list = NULL;
  return list;
}

/* Free the list with freeaddrinfo. */
static struct addrinfo *resolve(const mp_session *session, mp_error *err) {
  question *asked = question_new(session->address.host);
  struct addrinfo *list = NULL;
  if (!asked)
    mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  else if (mp_helper_call(session, ask, drop, asked))
    list = take_answer(asked, err);
  else
    mp_fail(err, MP_ERR_CONNECT, CR_SERVER_LOST, "the program is ending");
  if (asked)
    drop(asked);
  return list;
}

static size_t count_of(const struct addrinfo *list) {
  size_t count = 0;
  for (; list; list = list->ai_next)
    count++;
  return count;
}

/* ---- an attempt ----
   Each has a session of its own, whose connection the winner hands over. */

static mp_session *attempt_new(mp_session *session, const struct addrinfo *address, mp_error *err) {
  mp_session *attempt = mp_login_new(session);
  if (attempt)
    attempt->numeric_host = malloc(NI_MAXHOST + strlen(session->address.host));
  if (attempt && attempt->numeric_host &&
      getnameinfo(address->ai_addr, address->ai_addrlen, attempt->numeric_host, NI_MAXHOST, NULL, 0,
                  NI_NUMERICHOST) == 0)
    return attempt;
  if (attempt)
    mp_session_close(attempt);
  mp_fail(err, MP_ERR_CONNECT, CR_OUT_OF_MEMORY, "out of memory");
  return NULL;
}

/* Frees the attempt. */
static void hand_over(mp_session *attempt, mp_session *session) {
  mp_call_give_reads(attempt);
  session->mysql = attempt->mysql;
  session->base.max_packet = attempt->base.max_packet;
  attempt->mysql = NULL;
  mp_session_close(attempt);
  mp_call_take_reads(session);
}

/* Another address would say the same, and count one more failed login. */
static bool is_final(const mp_error *failure) {
  switch (failure->code) {
  case ER_ACCESS_DENIED_ERROR:
  case ER_DBACCESS_DENIED_ERROR:
  case ER_BAD_DB_ERROR:
  case ER_ACCESS_DENIED_NO_PASSWORD_ERROR:
    return true;
  default:
    return false;
  }
}

/* ---- one after the other ---- */

static mp_status try_one(mp_session *session, const struct addrinfo *address, int64_t deadline_ns,
                         mp_error *err) {
  mp_session *attempt = attempt_new(session, address, err);
  if (!attempt)
    return MP_FAILED;
  mp_status status = mp_login(attempt, deadline_ns, err);
  if (status == MP_DONE)
    hand_over(attempt, session);
  else
    mp_session_close(attempt);
  return status;
}

static mp_status try_in_turn(mp_session *session, const struct addrinfo *address, int64_t deadline_ns,
                             mp_error *err) {
  size_t left = count_of(address);
  mp_status status = MP_FAILED;
  for (; address && status == MP_FAILED && !is_final(err); address = address->ai_next, left--) {
    int64_t now_ns = mp_clock_ns();
    *err = (mp_error){.phase = err->phase};
    status = try_one(session, address, now_ns + (deadline_ns - now_ns) / (int64_t)left, err);
  }
  return status;
}

/* ---- side by side ---- */

typedef struct race {
  mp_session *session; /* to be connected */
  int64_t deadline_ns;
  const struct addrinfo *next; /* NULL: all have been tried */
  int64_t next_ns;             /* when it may be tried */
  mp_session *running[MOST_AT_ONCE], *winner;
  size_t count;
  mp_error failure; /* the last */
} race;

static bool may_start(const race *r) {
  return r->next && r->count < MOST_AT_ONCE;
}

static void start_next(race *r) {
  mp_error failure = {0};
  mp_session *attempt = attempt_new(r->session, r->next, &failure);
  r->next = r->next->ai_next;
  r->next_ns = mp_clock_ns() + head_start_ns;
  if (attempt && mp_helper_start(attempt, mp_login, r->deadline_ns, &failure) == MP_WAIT) {
    r->running[r->count++] = attempt;
    return;
  }
  if (attempt)
    mp_session_close(attempt);
  r->failure = failure;
}

/* False when the race is to end. A fork must not wait for it. */
static bool wait_for_news(const race *r) {
  struct pollfd fds[MOST_AT_ONCE + 1];
  int64_t until_ns = may_start(r) && r->next_ns < r->deadline_ns ? r->next_ns : r->deadline_ns;
  int64_t left_ns = until_ns - mp_clock_ns();
  fds[0] = (struct pollfd){.fd = mp_helper_stop_fd(r->session), .events = POLLIN};
  for (size_t i = 0; i < r->count; i++)
    fds[i + 1] = (struct pollfd){.fd = mp_helper_fd(r->running[i]), .events = POLLIN};
  mp_fork_allow();
  poll(fds, r->count + 1, left_ns > 0 ? (int)((left_ns + MP_MILLISECOND - 1) / MP_MILLISECOND) : 0);
  mp_fork_forbid();
  return fds[0].revents == 0 && mp_clock_ns() < r->deadline_ns;
}

/* An address that failed makes room for the next at once. */
static void after_step(race *r, size_t index, mp_status status) {
  mp_session *attempt = r->running[index];
  r->running[index] = r->running[--r->count];
  r->next_ns = 0;
  if (status == MP_DONE)
    r->winner = attempt;
  else
    mp_session_close(attempt);
}

static void step_all(race *r) {
  for (size_t i = r->count; i-- > 0 && !r->winner;) {
    mp_error failure = {0};
    mp_status status = mp_helper_step(r->running[i], &failure);
    if (status == MP_WAIT)
      continue;
    if (status == MP_FAILED && !is_final(&r->failure))
      r->failure = failure;
    after_step(r, i, status);
  }
}

/* One that has logged in as well says farewell; one that is about to must be cut. */
static void end_race(race *r) {
  mp_fork_allow(); /* they may wait for the right to go on, and who forks for them */
  for (size_t i = 0; i < r->count; i++)
    mp_session_close(r->running[i]);
  mp_fork_forbid();
}

static mp_status run_race(race *r, mp_error *err) {
  bool goes_on = true;
  while (goes_on && !r->winner && !is_final(&r->failure) && (r->next || r->count > 0)) {
    if (may_start(r) && mp_clock_ns() >= r->next_ns)
      start_next(r);
    goes_on = wait_for_news(r);
    step_all(r);
  }
  end_race(r);
  if (r->winner) {
    hand_over(r->winner, r->session);
    return MP_DONE;
  }
  if (r->failure.kind == MP_ERR_NONE)
    return mp_call_fail_late(r->session, err);
  *err = r->failure;
  return MP_FAILED;
}

mp_status mp_addresses_login(mp_session *session, int64_t deadline_ns, mp_error *err) {
  if (session->address.socket || is_address(session->address.host))
    return mp_login(session, deadline_ns, err);
  struct addrinfo *list = resolve(session, err);
  mp_status status = MP_FAILED;
  if (list && list->ai_next && session->helper) {
    race r = {.session = session, .deadline_ns = deadline_ns, .next = list};
    status = run_race(&r, err);
  } else if (list) {
    status = try_in_turn(session, list, deadline_ns, err);
  }
  freeaddrinfo(list);
  return status;
}
