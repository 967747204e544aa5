/* Forks of the process. A child shares the sockets of its parent and must never speak on them, and
   it has none of the threads: a lock of a library's or the resolver's that a helper thread held would
   stay locked in it for ever. */
#ifndef MYPOOL_OS_FORK_H
#define MYPOOL_OS_FORK_H

/* Differs between a process and its children. */
unsigned mp_fork_generation(void);

/* Helper threads forbid forks while they may hold locks; other threads do not call these. A fork waits for
   them, but not for ever. */
void mp_fork_forbid(void);
void mp_fork_allow(void);
void mp_fork_allow_at_end(void); /* ... of the thread */

#endif
