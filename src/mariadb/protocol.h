/* The result of the last statement, by whichever protocol it was sent. See driver.h. */
#ifndef MYPOOL_MARIADB_PROTOCOL_H
#define MYPOOL_MARIADB_PROTOCOL_H

#include "session.h"

mp_status mp_protocol_fetch(mp_session *session, mp_row *row, mp_error *err);
mp_status mp_protocol_next_result(mp_session *session, bool *more, mp_error *err);
void mp_protocol_summary(const mp_session *session, mp_summary *summary);
mp_column mp_protocol_column(const mp_session *session, unsigned index);

#endif
