/* A descriptor that becomes readable when a socket is ready: what a poll set is made of. In a child process
   the one of the parent must not be used: it is shared with the parent, or is not there at all. */
#ifndef MYPOOL_OS_READINESS_H
#define MYPOOL_OS_READINESS_H

#include <stdbool.h>

int mp_readiness_open(void); /* closed on exec; -1: no descriptor is left */
int mp_readiness_renew(
    int fd); /* one of the child's own, with the same number where that is the child's; or -1 */
void mp_readiness_close(int fd, bool inherited);

/* For the socket as it is now: a closed one has to be armed for again, though another may have its number. */
void mp_readiness_arm(int fd, int socket, bool readable, bool writable);
void mp_readiness_disarm(int fd, int socket);

#endif
