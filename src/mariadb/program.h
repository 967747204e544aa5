/* The drivers and sessions of this process, as the end of the program has to know them. A pool belongs to one
   thread. */
#ifndef MYPOOL_MARIADB_PROGRAM_H
#define MYPOOL_MARIADB_PROGRAM_H

#include "session.h"

/* Once, when the libraries have been started and before the first driver is made: `end` is called with the
   list of drivers at the end of the program, which nobody changes meanwhile. */
void mp_program_watch(void (*end)(mariadb_driver *first));

/* The end of the program has come: nothing is to be begun any more. */
bool mp_program_has_ended(void);

/* A driver is in the list from `add` to `remove`. The caller is the thread that its pool belongs to. */
void mp_program_add(mariadb_driver *driver);
void mp_program_remove(mariadb_driver *driver);

/* Sessions of a driver, from the time at which they may have a helper. Helpers are begun and freed under the
   lock of the driver. */
void mp_program_join(mp_session *session);
void mp_program_leave(mp_session *session); /* quiet when it had not joined */

#endif
