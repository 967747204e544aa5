/* Tells whether the session takes UTF-8 for what it is. libmariadb's own idea of the character set is not
   used: it knows some by another name than the server does, and is told of a change by some statements
   only. */
#ifndef MYPOOL_MARIADB_CHARSET_H
#define MYPOOL_MARIADB_CHARSET_H

#include "session.h"

bool mp_charset_is_utf8(const char *name);

/* By the names that the server tells: @@character_set_client and @@character_set_connection. */
charset_belief mp_charset_of(const char *client, const char *connection);

void mp_charset_before_statement(mp_session *session, mp_sql_effect effect, bool may_set_charset);
void mp_charset_after_reply(mp_session *session); /* without an error */

#endif
