/* The replies to a reset that are familiar: byte for byte those of one that libmariadb has read, in which
   everything was right. They need not be read again. */
#ifndef MYPOOL_MARIADB_FAMILIAR_H
#define MYPOOL_MARIADB_FAMILIAR_H

#include "session.h"

/* Looks at what has arrived for a reset of which no reply is read yet. MP_WAIT: what is here is right so far,
   and more has to come. MP_DONE: all of it was familiar, and has been taken. MP_FAILED: it may be right all
   the same, and is left, every byte, for libmariadb to read. */
mp_status mp_familiar_look(mp_session *session);

/* Before libmariadb reads these replies: they are written down, as far as they have arrived; what it reads
   from now on is added by the second function. Once all was right, they are familiar. */
void mp_familiar_begin(mp_session *session);
void mp_familiar_add(mp_session *session, const void *bytes, size_t length);
void mp_familiar_end(mp_session *session);

void mp_familiar_free(mp_session *session);

#endif
