#ifndef MYPOOL_LUA_SCRUB_H
#define MYPOOL_LUA_SCRUB_H

#include "binding.h"

/* Drops the last statement, of which the messages of the next one are not made. */
void scrub_begin(connection *conn);

/* Where the server stopped reading, by its message of a syntax error. */
typedef struct syntax_error {
  const char *quoted; /* what it quotes of the statement: in the message, without the rest behind `tail` */
  const char *tail;
  const char *at; /* the same in the text that was given; NULL: it is not there */
  size_t length;
} syntax_error;

/* False when the message is none of a syntax error. */
bool scrub_find_syntax_error(const mp_error *err, const char *text, size_t length, syntax_error *found);

/* Takes the values of the statement's parameters out of the message. */
void scrub(mp_error *err, const connection *conn);

#endif
