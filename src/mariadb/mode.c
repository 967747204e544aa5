/* How the session's server reads SQL text: by its sql_mode and character_set_client. Its status bit for
   NO_BACKSLASH_ESCAPES lies once a routine, a SET STATEMENT or an error has been at work, and a change of
   charset may go untold. So the mode is known only while each status since the baseline had the bit of the
   baseline's own sql_mode and the last reply had a status at all; the rest only the server knows, when it is
   asked. */
#include "mode.h"

#include <errmsg.h>
#include <string.h>

#include "call.h"
#include "charset.h"
#include "flight.h"
#include "tls.h"

static bool has_no_escapes(const mp_session *session) {
  return session->mysql->server_status & SERVER_STATUS_NO_BACKSLASH_ESCAPES;
}

void mp_mode_heed(mp_session *session, bool failed) {
  session->mode.untold = failed;
  session->mode.asking &= !failed;
  session->mode.strayed |= has_no_escapes(session) != session->base.no_backslash_escapes;
}

void mp_mode_start_over(mp_session *session) {
  session->mode = (struct mode){.strayed = has_no_escapes(session) != session->base.no_backslash_escapes,
                                .charset = session->base.charset};
}

void mp_mode_drop(mp_session *session) {
  session->mode.told = false;
}

/* A statement that each reset repeats will be read by the sql_mode of that day. */
mp_sql_mode mp_mode_of(const mp_session *session) {
  const baseline *base = &session->base;
  const charset_belief *charset = &session->mode.charset;
  bool lasts = mp_flight_is_recording(session), told = session->mode.told;
  mp_sql_mode mode = {.escapes_known = !lasts && (told || (!session->mode.strayed && !session->mode.untold)),
                      .quotes_known = !lasts && told,
                      .charset_known = told,
                      .asked = told,
                      .utf8 = charset->utf8,
                      .utf8mb4 = charset->utf8mb4,
                      .utf8_in_doubt = charset->in_doubt && !told,
                      .empty_string_is_null = base->empty_string_is_null,
                      .hex_is_number = !base->is_mariadb};
  if (told)
    mode.reading = session->mode.reading;
  else
    mode.reading.no_backslash_escapes = base->no_backslash_escapes;
  return mode;
}

/* ---- asking ---- */

/* The charsets are those that the server takes from clients, told apart by what it was seen to make of
   them. */
static mp_charset charset_of(const char *name) {
  static const struct {
    const char *name;
    mp_charset charset;
  } known[] = {
      {"gbk", MP_CHARSET_GBK},      {"gb18030", MP_CHARSET_GBK},   {"sjis", MP_CHARSET_SJIS},
      {"cp932", MP_CHARSET_SJIS},   {"big5", MP_CHARSET_BIG5},     {"ujis", MP_CHARSET_PLAIN},
      {"euckr", MP_CHARSET_PLAIN},  {"eucjpms", MP_CHARSET_PLAIN}, {"gb2312", MP_CHARSET_PLAIN},
      {"binary", MP_CHARSET_PLAIN}, {"ascii", MP_CHARSET_PLAIN},
  };
  if (mp_charset_is_utf8(name))
    return MP_CHARSET_PLAIN;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, name) == 0)
      return known[i].charset;
  return MP_CHARSET_BYTES;
}

mp_reading mp_mode_reading(const char *sql_mode, const char *charset_client) {
  return (mp_reading){.no_backslash_escapes = strstr(sql_mode, "NO_BACKSLASH_ESCAPES") != NULL,
                      .ansi_quotes = strstr(sql_mode, "ANSI_QUOTES") != NULL,
                      .charset = charset_of(charset_client)};
}

static void take(mp_session *session, MYSQL_ROW row) {
  session->mode.told = true;
  session->mode.charset = mp_charset_of(row[1], row[2]);
  session->mode.reading = mp_mode_reading(row[0], row[1]);
}

static mp_status after_answer(mp_session *session, mp_error *err) {
  MYSQL_RES *answer = session->result;
  session->result = NULL;
  mp_mode_heed(session, answer == NULL);
  session->mode.asking = false;
  if (!answer)
    return mp_mysql_fail(session, MP_PHASE_REPLY, err);
  MYSQL_ROW row = mysql_num_fields(answer) == 3 ? mysql_fetch_row(answer) : NULL;
  bool complete = row && row[0] && row[1] && row[2];
  if (complete)
    take(session, row);
  mysql_free_result(answer);
  return complete
             ? MP_DONE
             : mp_fail(err, MP_ERR_PROTOCOL, CR_MALFORMED_PACKET, "the server does not tell its sql_mode");
}

static int answer_start(mp_session *session) {
  mp_tls_clear_errors(session);
  return mysql_store_result_start(&session->result, session->mysql);
}

static int answer_cont(mp_session *session, int ready) {
  return mysql_store_result_cont(&session->result, session->mysql, ready);
}

static const mp_call_kind read_answer = {answer_start, answer_cont};

mp_status mp_mode_read_answer(mp_session *session) {
  return mp_call_next(session, &read_answer, after_answer);
}
