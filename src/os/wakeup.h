/* Wake-ups: fds by which one loan wakes another, or one thread another. Readable once they were notified,
   until they are cleared. */
#ifndef MYPOOL_OS_WAKEUP_H
#define MYPOOL_OS_WAKEUP_H

typedef struct mp_wakeup {
  int fd;        /* to wait for; -1: no descriptor could be had */
  int notify_fd; /* to notify by; may be the same */
} mp_wakeup;

/* A wake-up of the caller's own. Any thread of the process that opened it may notify and clear it. */
mp_wakeup mp_wakeup_open(void);
void mp_wakeup_notify(mp_wakeup wakeup);
void mp_wakeup_clear(mp_wakeup wakeup);
void mp_wakeup_close(mp_wakeup wakeup);

/* Wake-ups that stay open, for the next, when they are given back; named by their fd. For one thread. In a
   forked child they are replaced before use: the child must not clear what the parent was notified of. */
typedef struct mp_wakeups mp_wakeups;

/* `forget` is told of each fd before it is closed. NULL for want of memory. */
mp_wakeups *mp_wakeups_new(void (*forget)(void *context, int fd), void *context);
mp_wakeup mp_wakeups_take(mp_wakeups *wakeups);
void mp_wakeups_notify(mp_wakeups *wakeups, int fd);
void mp_wakeups_clear(mp_wakeups *wakeups, int fd);
void mp_wakeups_give(mp_wakeups *wakeups, int fd);
void mp_wakeups_close(mp_wakeups *wakeups); /* those that are not taken */
void mp_wakeups_free(mp_wakeups *wakeups);  /* the same, and the rest of the memory; NULL is fine */

#endif
