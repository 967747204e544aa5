/* A set of descriptors for an event loop that offers no way to wait for any but its own sockets: a thread
   watches the set, and writes a byte to such a socket when one of the descriptors is readable. */
#ifndef MYPOOL_OS_WATCH_H
#define MYPOOL_OS_WATCH_H

#include <stdbool.h>

/* A path of a unix socket, with its NUL. */
enum { MP_WATCH_PATH = 108 };

typedef struct mp_watch mp_watch; /* for one thread */

/* An empty set; NULL for want of memory or descriptors, or where the system has no such sets (errno tells).
   Free it with mp_watch_free, before which the loop's end of the socket should be closed: the thread then
   ends. */
mp_watch *mp_watch_new(void);
void mp_watch_free(mp_watch *watch); /* NULL is fine */

/* Listens on a socket in a folder of its own, whose path the loop is to connect to. False: errno tells why
 * not. */
bool mp_watch_listen(mp_watch *watch, char path[MP_WATCH_PATH]);

/* Takes the connection of this process that has been made, whose path then is gone, and starts the thread. It
   writes a byte at most for each mp_watch_go_on, as soon as the set is readable, and one every 0.1 s while
   there is no news. It ends when the other end is closed. False: errno tells why not. */
bool mp_watch_start(mp_watch *watch);

/* The descriptor is watched until it is readable once. */
bool mp_watch_arm(mp_watch *watch, int fd);
void mp_watch_disarm(mp_watch *watch, int fd);

/* One that is readable, and is not watched any more; -1: no other. */
int mp_watch_next(mp_watch *watch);

/* After the last of them, while the loop's end of the socket is open: the thread may tell of news again. */
void mp_watch_go_on(mp_watch *watch);

#endif
