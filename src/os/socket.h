/* Does things to a socket, and looks at it, behind the back of the library that uses it. No function waits
   but where its comment says so. */
#ifndef MYPOOL_OS_SOCKET_H
#define MYPOOL_OS_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef enum mp_socket_state {
  MP_SOCKET_QUIET,    /* nothing to read */
  MP_SOCKET_READABLE, /* ... there is */
  MP_SOCKET_CLOSING,  /* the peer has ended; what came before may be left to read */
  MP_SOCKET_BROKEN    /* both directions have ended, by an error maybe */
} mp_socket_state;

mp_socket_state mp_socket_look(int fd);
bool mp_socket_has_room(int fd); /* a send of a few bytes would not block */

/* Waits for the peer's end, for so many milliseconds, or until stop_fd is readable. Either may be -1: none.
   Returns whether the peer has ended. */
bool mp_socket_await_end(int fd, int timeout_ms, int stop_fd);

/* In one system call, without a signal when the peer has gone. True: all of it was taken; else errno says why
   nothing was, or is 0 where a part was. */
bool mp_socket_send(int fd, const struct iovec *parts, size_t count);

/* Takes what has arrived, without a wait. Returns how many bytes, 0 where the peer has ended, or -1, and
   then errno, EAGAIN where nothing has arrived. */
ssize_t mp_socket_receive(int fd, void *bytes, size_t length);

/* Discards what has arrived. A peer that goes on and on is not read to its end. */
void mp_socket_drain(int fd);

/* From so many bytes on the socket counts as readable. False: poll tells of less all the same. */
bool mp_socket_set_low_water(int fd, int bytes);

/* So that a peer which is gone for good is noticed also while nothing is said. */
void mp_socket_keep_alive(int fd);

/* A second descriptor of the same socket, closed on exec; -1 when there is none left. */
int mp_socket_duplicate(int fd);

/* Puts a dead end in the place of the socket: what is written to the descriptor afterwards reaches nobody. */
void mp_socket_replace(int fd);

#endif
