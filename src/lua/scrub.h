#ifndef MYPOOL_LUA_SCRUB_H
#define MYPOOL_LUA_SCRUB_H

#include "binding.h"

/* Drops the last statement, of which the messages of the next one are not made. */
void scrub_begin(connection *conn);

/* Takes the values of the statement's parameters out of the message. */
void scrub(mp_error *err, const connection *conn);

#endif
