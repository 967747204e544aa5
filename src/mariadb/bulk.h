/* Bulk execution: a prepared statement for many rows at once. */
#ifndef MYPOOL_MARIADB_BULK_H
#define MYPOOL_MARIADB_BULK_H

#include "session.h"

bool mp_bulk_is_supported(const mp_session *session); /* by the server */

/* Binds `rows` rows of values, one after the other; false for want of memory. What was bound
   is freed by mp_bulk_unbind in any case, once the request was built. */
bool mp_bulk_bind(prepared *statement, const mp_value *values, size_t rows);
void mp_bulk_unbind(prepared *statement);

#endif
