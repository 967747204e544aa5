/* Prepared statements, as the files that deal with them share them. */
#ifndef MYPOOL_MARIADB_PREPARED_H
#define MYPOOL_MARIADB_PREPARED_H

#include "session.h"

typedef struct prepared {
  MYSQL_STMT *stmt;
  uint64_t id;
  statement_head head;
  mp_sql_effect effect;
  unsigned parameters;
  MYSQL_BIND *binds; /* of the parameters */
  unsigned room;     /* columns that the next two hold */
  mp_value *values;  /* of the row just fetched */
  char *scratch;     /* for its dates and times */
  struct prepared *next;
} prepared;

/* binary.c: the row that libmariadb has just read, as values; false when it is none. */
bool mp_binary_decode(prepared *statement);
size_t mp_binary_scratch(unsigned columns); /* bytes that it needs for dates and times */

/* bulk.c: whether the server takes more than one row. */
bool mp_bulk_supported(const mp_session *session);

/* Binds `rows` rows of values, one after the other; false for want of memory. What was bound
   is freed by mp_bulk_unbind in any case, once the request was built. */
bool mp_bulk_bind(prepared *statement, const mp_value *values, size_t rows);
void mp_bulk_unbind(prepared *statement);

#endif
