/* The end of the program, by whatever way: what helper threads do is ended, and idle sessions say COM_QUIT,
   while the libraries that they need are still there. What other threads have open is left to the kernel, but
   for their helpers. */
#ifndef MYPOOL_MARIADB_ENDING_H
#define MYPOOL_MARIADB_ENDING_H

#include "session.h"

/* Once, when the libraries have been started and before the first driver is made. */
void mp_ending_watch(void);

#endif
