/* Wake-ups: fds by which one loan wakes another, or one thread another. Readable once they were notified,
   until they are cleared. */
#ifndef MYPOOL_OS_WAKEUP_H
#define MYPOOL_OS_WAKEUP_H

/* A wake-up of the caller's own, which ends with close(2); -1 when no descriptor could be had. Any thread of
   the process that opened it may notify and clear it. */
int mp_wakeup_open(void);
void mp_wakeup_notify(int fd);
void mp_wakeup_clear(int fd);

/* Wake-ups that stay open, for the next, when they are given back. For one thread. In a forked child they are
   replaced before use: the child must not clear what the parent was notified of. */
typedef struct mp_wakeups mp_wakeups;

/* `forget` is told of each fd before it is closed. NULL for want of memory. */
mp_wakeups *mp_wakeups_new(void (*forget)(void *context, int fd), void *context);
int mp_wakeups_take(mp_wakeups *wakeups); /* -1 when no descriptor could be had */
void mp_wakeups_notify(mp_wakeups *wakeups, int fd);
void mp_wakeups_clear(mp_wakeups *wakeups, int fd);
void mp_wakeups_give(mp_wakeups *wakeups, int fd);
void mp_wakeups_close(mp_wakeups *wakeups); /* those that are not taken */
void mp_wakeups_free(mp_wakeups *wakeups);  /* the same, and the rest of the memory; NULL is fine */

#endif
