/* The end of the program, by whatever way: what helper threads do is ended, and idle sessions take leave,
   while the libraries that they need are still there. A pool belongs to one thread; what other threads have
   open is left to the kernel, but for their helpers. */
#ifndef MYPOOL_MARIADB_ENDING_H
#define MYPOOL_MARIADB_ENDING_H

#include "session.h"

/* Once, when the libraries have been started and before the first driver is made. */
void mp_ending_watch(void);

/* A driver is among those that the end of the program looks at from `add` to `remove`. The caller is the
   thread that its pool belongs to. */
void mp_ending_add(mariadb_driver *driver);
void mp_ending_remove(mariadb_driver *driver);

/* Sessions of a driver, from the time at which they may have a helper. Helpers are begun and freed under the
   lock of the driver. */
void mp_ending_join(mp_session *session);
void mp_ending_leave(mp_session *session); /* quiet when it had not joined */

/* Whether the end of the program has been dealt with: then nothing is to be begun any more. */
bool mp_program_has_ended(void);

#endif
