/* Poll sets: the fds that callers wait on for a server's socket. libmariadb closes sockets inside its calls
   and the kernel reuses their numbers, so a scheduler that caches registrations by number would lose a
   wake-up: a poll set outlives every socket. */
#ifndef MYPOOL_OS_POLLSET_H
#define MYPOOL_OS_POLLSET_H

#include <stdbool.h>

typedef struct mp_pollset mp_pollset;   /* one */
typedef struct mp_pollsets mp_pollsets; /* those that stay open, for the next, when they are given back */

/* `forget` is told of each fd before it is closed. NULL for want of memory. */
mp_pollsets *mp_pollsets_new(void (*forget)(void *context, int fd), void *context);
mp_pollset *mp_pollsets_take(mp_pollsets *pollsets); /* NULL for want of memory or descriptors */
void mp_pollsets_give(mp_pollsets *pollsets, mp_pollset *pollset);
void mp_pollsets_close(mp_pollsets *pollsets); /* those that are not taken */
void mp_pollsets_free(mp_pollsets *pollsets);  /* the same, and the rest of the memory; NULL is fine */

/* Returns an fd that becomes readable when the socket is ready, or has ended. */
int mp_pollset_arm(mp_pollset *pollset, int socket, bool readable, bool writable);

#endif
