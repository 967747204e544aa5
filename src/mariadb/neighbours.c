/* Encrypted sessions that do not break each other.

   OpenSSL notes the failures of a thread in one queue, and takes what it finds there for the
   outcome of the call just made (SSL_get_error(3)). libmariadb leaves there what ended a session:
   without this, the next one that has to wait for its server would be told that it is lost. So
   the queue is emptied before each call that may read; mp_task_step does it for those that go on. */
#include "session.h"

/* There only where libmariadb was built with OpenSSL, and then it has been loaded. */
extern void ERR_clear_error(void) __attribute__((weak));

void mp_neighbours_forget(const mp_session *session) {
  if (session->driver->server.tls && ERR_clear_error)
    ERR_clear_error();
}

static mp_status query(mp_session *session, const char *sql, size_t length, mp_error *err) {
  mp_neighbours_forget(session);
  return mp_statement_query(session, sql, length, err);
}

static mp_status prepare(mp_session *session, const char *sql, size_t length, mp_error *err) {
  mp_neighbours_forget(session);
  return mp_prepared_prepare(session, sql, length, err);
}

static mp_status execute(mp_session *session, uint64_t id, const mp_value *values, size_t rows,
                         mp_error *err) {
  mp_neighbours_forget(session);
  return mp_prepared_execute(session, id, values, rows, err);
}

/* A packet that is here already is not waited for. */
static mp_status fetch(mp_session *session, mp_row *row, mp_error *err) {
  if (!mp_session_has_packet(session))
    mp_neighbours_forget(session);
  return mp_statement_fetch(session, row, err);
}

static mp_status next_result(mp_session *session, bool *more, mp_error *err) {
  mp_neighbours_forget(session);
  return mp_statement_next_result(session, more, err);
}

static mp_status ping(mp_session *session, mp_error *err) {
  mp_neighbours_forget(session);
  return mp_statement_ping(session, err);
}

static mp_status reset_read(mp_session *session, mp_error *err) {
  mp_neighbours_forget(session);
  return mp_reset_read(session, err);
}

void mp_neighbours_guard(mp_driver *face) {
  face->query = query;
  face->prepare = prepare;
  face->execute = execute;
  face->fetch = fetch;
  face->next_result = next_result;
  face->ping = ping;
  face->reset_read = reset_read;
}
