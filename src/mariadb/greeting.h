/* The first bytes of a server, looked at before libmariadb may read them. */
#ifndef MYPOOL_MARIADB_GREETING_H
#define MYPOOL_MARIADB_GREETING_H

#include "session.h"

typedef enum mp_greeting {
  MP_GREETING_TO_COME,
  MP_GREETING_DEADLY,
  MP_GREETING_FOREIGN,     /* of another service */
  MP_GREETING_WITHOUT_TLS, /* where TLS is wanted */
  MP_GREETING_TO_READ
} mp_greeting;

mp_greeting mp_greeting_look(mp_session *session);

#endif
