/* Executes a prepared statement with the values that were read. */
#include "execute.h"

#include "call.h"
#include "statement.h"

static bool has_text_in_doubt(const connection *conn) {
  mp_sql_mode mode = mp_loan_sql_mode(conn->loan);
  const mp_value *values = (const mp_value *)(const void *)conn->statement.values.data;
  size_t count = conn->statement.values.length / sizeof *values;
  for (size_t i = 0; mode.utf8_in_doubt && i < count; i++)
    if (values[i].kind == MP_VALUE_STRING &&
        mp_text_is_in_doubt(values[i].as.text.bytes, values[i].as.text.length, &mode))
      return true;
  return false;
}

static mp_status send(lua_State *L, connection *conn, mp_wait *wait, mp_error *err) {
  struct statement *statement = &conn->statement;
  const mp_value *values = (const mp_value *)(const void *)statement->values.data;
  statement_sent(L, conn);
  return mp_loan_execute(conn->loan, statement->prepared, values, statement->rows, &statement->options, wait,
                         err);
}

mp_status execute_after_asking(lua_State *L, connection *conn, mp_wait *wait, mp_error *err) {
  conn->activity = QUERYING;
  return send(L, conn, wait, err);
}

mp_status execute_begin(lua_State *L, connection *conn, uint64_t id, size_t rows, mp_wait *wait,
                        mp_error *err) {
  bool ask = has_text_in_doubt(conn);
  conn->statement.prepared = id;
  conn->statement.rows = rows;
  conn->statement.options.asked = ask;
  call_begin(L, conn, ask ? ASKING : QUERYING);
  return ask ? mp_loan_ask(conn->loan, &conn->statement.options, wait, err) : send(L, conn, wait, err);
}
