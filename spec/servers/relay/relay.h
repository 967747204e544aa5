/* What the parts of the fault relay know of each other. The relay stands between
   clients and one server, passes bytes on, and breaks things when told to.

     main.c        arguments and the event loop
     control.c     lines from the owner, answers to the owner
     command.c     what each line does
     listener.c    accepting clients, reaching the server
     connection.c  one client and its session on the server
     stream.c      one direction of a connection: delay, throttle, damage
     packets.c     a reply too few or too many                                 */
#ifndef RELAY_H
#define RELAY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/socket.h>

#define NEVER INT64_MAX    /* a time */
#define NOWHERE UINT64_MAX /* an offset in a stream */
#define LINE_MAX_BYTES (256 * 1024)
#define RECORD_MAX_BYTES (64 * 1024)

enum way { UP, DOWN }; /* client to server, server to client */

enum cut {
  CUT_NONE,
  CUT_FIN, /* close as a process that calls close() would */
  CUT_RST, /* close as a host that crashed and came back would */
  CUT_HOLD /* keep open, forward nothing more: a black hole */
};

/* A descriptor in the epoll set, and what is known of it. All but the control
   input are edge-triggered: a flag stays up until a call answers EAGAIN. */
struct peer {
  int fd; /* -1 when closed */
  bool readable, writable;
};

struct faults {
  uint64_t cut_at; /* bytes forwarded before the cut, or NOWHERE */
  enum cut cut;
  uint64_t corrupt_at;
  unsigned char corrupt_with;
};

struct settings {
  int64_t delay_ns[2];
  uint64_t throttle; /* bytes per second and direction; 0: no limit */
  uint64_t chunk;    /* bytes per write; 0: no limit */
  bool strip_tls;
  uint64_t numbers; /* connections are given these, from 1, again and again; 0: the server's */
  bool held;        /* forward and accept nothing */
};

struct bytes {
  size_t size;
  unsigned char at[LINE_MAX_BYTES / 2];
};

/* What becomes of one reply of the server's. */
enum shift {
  SHIFT_NONE,
  SHIFT_DROP,
  SHIFT_DOUBLE,
  SHIFT_ADD /* an OK behind it */
};

struct part {
  unsigned char *bytes;
  size_t size, room;
};

struct packets {
  enum shift shift;
  uint64_t left;        /* replies before that one */
  struct part arriving; /* of a packet */
  struct part reply;    /* as much of it as has arrived */
  unsigned lists;       /* that it still has */
};

struct stream {
  struct peer *from, *to;
  struct packets packets;
  struct faults faults;
  struct chunk *first, *last; /* read, not yet forwarded */
  size_t waiting;             /* bytes in these chunks */
  uint64_t entered;           /* offset of the next byte to enter the queue */
  uint64_t forwarded;         /* offset of the next byte to leave it */
  int64_t free_ns;            /* throttled: nothing leaves before */
  enum cut end;               /* how the source ended; CUT_NONE if it has not */
  int64_t end_ns;             /* when that is to be passed on */
  bool ended;                 /* it was passed on */
  bool in_greeting;           /* it is still to be changed: */
  bool strip_tls;             /* without TLS */
  uint64_t number;            /* with this number of the connection; 0: the server's */
  uint64_t version_end;       /* where the greeting's version string ends; 0: not seen */
};

struct connection {
  struct connection *next;
  struct peer client, server;
  struct stream stream[2];
  bool held;      /* by a cut of kind CUT_HOLD */
  bool answering; /* the relay answers in place of the server */
  bool replacing; /* what the server says next does not reach the client, but the answer does */
};

struct relay {
  int epoll;
  struct peer timer, control, listener;
  int64_t armed_ns;  /* when the timer fires */
  int own_write_end; /* of the control pipe, until its owner has opened it; or -1 */
  struct in_addr host;
  uint16_t port;
  struct sockaddr_storage target;
  socklen_t target_size;

  struct settings settings;
  struct faults next[2]; /* for the next connection accepted */
  struct bytes answer;   /* of the connections that are `answering` or `replacing` */
  bool recording;
  size_t recorded; /* bytes that clients sent, of all connections together */
  unsigned char record[RECORD_MAX_BYTES];

  struct connection *open;
  struct connection *last;     /* the one accepted last, while it is open */
  uint64_t last_forwarded[2];  /* its counters when it is not */
  uint64_t accepted, bytes[2]; /* since the start */
  uint64_t cuts;               /* connections cut at their byte, or dropped, since the start */
  char details[128];           /* what the answer to this command adds to "ok" */
};

/* main.c */

/* Watches the peer's descriptor, `events` being those of epoll_ctl(2). */
void relay_watch(struct relay *r, struct peer *p, uint32_t events);

/* Does all that can be done now. Returns when there will be more to do, in so far
   as time brings it and not a descriptor; a past time means at once. */
int64_t relay_pump(struct relay *r);

int64_t now_ns(void);
noreturn void die(const char *what);

/* control.c */

/* Makes the control input a new pipe, whose path in /proc is printed, instead of
   the inherited one; and ends this process when its parent ends. */
void control_make_pipe(struct relay *r);

/* Reads and obeys what lines there are. False when the owner is gone or wants no more. */
bool control_obey(struct relay *r);

/* command.c */

/* Carries out one line and writes its answer. False to end the relay. */
bool command_run(struct relay *r, char *line);

/* listener.c */

/* Listens on r->host and r->port, or on any port if that is 0. False, with errno, if it cannot. */
bool listener_open(struct relay *r);
void listener_close(struct relay *r);

/* Accepts all who wait. Returns when to try again, as relay_pump does. */
int64_t listener_accept(struct relay *r);

/* connection.c */

/* Takes over both descriptors; `server` may still be connecting. */
void connection_open(struct relay *r, int client, int server);

/* Forwards what is due. Returns when to call again. May close the descriptors. */
int64_t connection_pump(struct relay *r, struct connection *c);

/* Ends the connection now; what has not been forwarded is lost. */
void connection_cut(struct connection *c, enum cut how);

bool connection_is_open(const struct connection *c);
void connection_free(struct connection *c);

/* Closes a socket with FIN or RST. */
void socket_cut(int fd, enum cut how);

/* stream.c */

extern const struct faults no_faults;

void stream_init(struct stream *s, struct peer *from, struct peer *to, const struct faults *faults);

/* True if more may be read for it: its memory is bounded. */
bool stream_has_room(const struct stream *s);

/* Queues a copy of the bytes, to be forwarded at due_ns; stream_enter, whatever packets.c would do. */
void stream_enter(struct stream *s, const void *bytes, size_t size, int64_t due_ns);
void stream_push(struct stream *s, const void *bytes, size_t size, int64_t due_ns);

/* Makes at most one write. Returns how many bytes it forwarded, or -1 when the
   receiver is gone. */
ssize_t stream_forward(struct stream *s, const struct settings *settings);

/* When stream_forward has something to do, or reading has. */
int64_t stream_next_ns(const struct stream *s, const struct settings *settings);

/* CUT_NONE, or how the connection is to end because of what this stream has come to. */
enum cut stream_verdict(const struct stream *s);

void stream_free(struct stream *s);

/* packets.c */

/* Queues what becomes of the bytes while there is a reply to shift. Returns how many it has taken. */
size_t packets_take(struct stream *s, const unsigned char *bytes, size_t size, int64_t due_ns);
void packets_free(struct packets *p);

#endif
