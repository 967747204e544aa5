/* One server: is it up, when is the next attempt due, does it know resets. */
#ifndef MYPOOL_POOL_SERVER_H
#define MYPOOL_POOL_SERVER_H

#include "pool.h"

const char *server_name(const struct server *server);

/* Says in an error that it came from this server, where there are several. */
void server_sign(const struct server *server, mp_error *err);

/* Nothing is opened there while another server is not barred. Lasts until something succeeds there. */
static inline bool server_is_barred(const struct server *server) {
  return server->failures > 0 || server->refuses;
}

/* A session may be opened now on a server that is not barred. */
static inline bool server_may_open(const struct server *server) {
  return server->successes == 0 || server->counts[SLOT_OPENING] <= server->successes;
}

/* Sessions that lead to it, or will. */
unsigned server_sessions(const struct server *server);

/* `took_ns`: how long the attempt did. */
void server_after_open(struct server *server, const mp_session *session);
void server_after_failed_open(struct server *server, const mp_error *err, int64_t took_ns);

/* Bars it for another reason than a connect that has failed. */
void server_bar(struct server *server, const mp_error *err, int64_t took_ns);

/* Its sessions are of no use any more: they are closed at the next checkout, the lent ones at their release.
   server_distrust: bars it, too. */
void server_outdate_sessions(struct server *server);
void server_distrust(struct server *server, const mp_error *err);

/* Something came from it. server_prove: a probe succeeded there, or was answered by an error. */
void server_hear(struct server *server);
void server_prove(struct server *server);

/* Its silence says that it is not there, or no more than an address: it must be found fit twice before it is
   used again. server_needs_proof: this success of a probe is not enough yet, and counts. */
void server_distrust_silent(struct server *server, const mp_error *err);
bool server_needs_proof(struct server *server);

/* By the user's wish: bars it for so long; 0: not any more. */
void server_avoid(struct server *server, int64_t duration_ns);

/* A reset should be sent; false: the server does not know how. Call it before each that is sent: from time to
   time one is, to ask again. */
bool server_may_reset(struct server *server);

bool server_has_refused_resets(const struct server *server);

/* The session in this slot has answered a reset, or failed to. That the server knows no reset is said in err,
   whose message is the server's otherwise. */
void server_after_reset(mp_slot *slot);
void server_after_failed_reset(const mp_slot *slot, mp_error *err);

#endif
