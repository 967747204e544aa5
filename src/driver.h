/* The seam between the pool's rules and a server: what a pool needs to be able to do
   with a session. src/mariadb implements it; the C specs pass a fake. */
#ifndef MYPOOL_DRIVER_H
#define MYPOOL_DRIVER_H

#include "mypool.h"

typedef struct mp_session mp_session;

typedef enum mp_liveness {
  MP_QUIET, /* alive as far as can be told, nothing to read */
  MP_READY, /* replies that were pending have arrived */
  MP_DEAD   /* closed by the server, or out of step */
} mp_liveness;

/* Functions that return mp_status may answer MP_WAIT: then call `step` when the fd of
   `wait_fd` is readable. After MP_FAILED the caller decides by err->code what becomes
   of the session; err->phase, code, sqlstate and message are set, and kind to
   MP_ERR_SERVER, LOST, CONNECT or PROTOCOL as a first word that the retry table refines. executed is
   MP_EXECUTED_UNKNOWN for a statement of which a part may stay when it fails. */
struct mp_driver {
  void (*free)(mp_driver *self);

  /* Lets go of what is kept for sessions to come: there will be none. May be NULL. */
  void (*close_spare)(mp_driver *self);
  int64_t (*now_ns)(mp_driver *self);

  /* The name of a host, of those numbered from 0, as long as the driver lives. */
  const char *(*host_name)(const mp_driver *self, unsigned host);

  /* Makes a session and begins to connect it, until the deadline at most; `beside`: without waiting in place.
   *out is set unless memory ran out, also when the connect fails; close it in any case. */
  mp_status (*open)(mp_driver *self, unsigned host, bool beside, int64_t deadline_ns, mp_session **out,
                    mp_error *err);

  /* How long its connect took, or has gone on by now. */
  int64_t (*connect_ns)(const mp_session *session);

  /* Continues what was begun. */
  mp_status (*step)(mp_session *session, mp_error *err);

  /* One look, without a round trip and without waiting. */
  mp_liveness (*peek)(mp_session *session);

  /* False where a send fails for sure once the server has closed: then no look is needed before it. */
  bool (*needs_peek)(const mp_session *session);

  /* In the middle of nothing: no operation, no unread result. */
  bool (*is_at_rest)(const mp_session *session);

  /* At rest but for the replies to a reset that was sent with the last statement, and comes after all that
     this did: whatever else is to be sent is refused (2014), reset_send sends nothing. Not in a transaction,
     which such a reset would have come too early for. */
  bool (*is_being_reset)(const mp_session *session);

  /* Sends all that leads back to the baseline, without waiting, or, MP_WAIT, a part of it; reset_read
     begins to read the replies, and sends what is left. MP_FAILED: close the session; of kind
     MP_ERR_PROTOCOL with MP_ER_NOT_SUPPORTED_YET where no reset leads there, so that none was sent; with
     MP_ER_READ_ONLY_MODE when the server may write, or not, unlike at connect. */
  mp_status (*reset_send)(mp_session *session, mp_error *err);
  mp_status (*reset_read)(mp_session *session, mp_error *err);

  /* While on, statements that succeed become part of the baseline: each reset repeats them. */
  void (*record)(mp_session *session, bool on);

  /* Fails unless the session commits what a statement writes, or the caller has said that it need not. May be
     NULL. */
  mp_status (*check_baseline)(const mp_session *session, mp_error *err);

  /* Sends a statement, reads the first reply. `sql` stays until the operation ends. `last`: nothing will
     follow but a reset, which the driver may send together with the statement. */
  mp_status (*query)(mp_session *session, const char *sql, size_t length, bool last, mp_error *err);

  /* Has the server tell its sql_mode and charset, for sql_mode to pass on until the next statement. */
  mp_status (*ask)(mp_session *session, mp_error *err);

  /* Prepared statements end with the loan. A number that is not known any more is an error. */
  mp_status (*prepare)(mp_session *session, const char *sql, size_t length, mp_error *err);
  uint64_t (*prepared_id)(const mp_session *session);        /* just prepared */
  int (*parameters)(const mp_session *session, uint64_t id); /* how many; -1: not known */
  mp_status (*execute)(mp_session *session, uint64_t id, const mp_value *values, size_t rows, mp_error *err);
  void (*close_prepared)(mp_session *session, uint64_t id);

  /* `row` and `more` stay until the operation ends, or the session is recovered or closed. */
  bool (*has_row)(const mp_session *session); /* and fetch would not wait for it */
  mp_status (*fetch)(mp_session *session, mp_row *row, mp_error *err);
  mp_status (*next_result)(mp_session *session, bool *more, mp_error *err);
  mp_status (*ping)(mp_session *session, mp_error *err);

  /* A transaction that a helper has begun, and means to end: only it may. `watch` gives it a number, 0 when
     the server does not tell of transactions; `check_watched`: MP_FAILED once it was rolled back by others
     (0: when there is any), executed as for `unwatch`. `unwatch`, before it is ended: MP_FAILED says that it
     had ended already, executed being MP_EXECUTED_UNKNOWN where it may have been committed. After `spoil`, as
     after such an end, only ROLLBACK is accepted. */
  uint64_t (*watch)(mp_session *session);
  mp_status (*check_watched)(const mp_session *session, uint64_t number, mp_error *err);
  mp_status (*unwatch)(mp_session *session, mp_error *err);
  void (*spoil)(mp_session *session);

  /* Stops the statement in progress on the server, reads what it still answers, and resets the
     session: afterwards it is as new. `step` and `wait_fd` as for open. */
  mp_status (*recover)(mp_session *session, mp_error *err);

  /* Cuts the connection under whoever uses the session; it stays to be closed. */
  void (*abort)(mp_session *session);

  /* Closes and frees; in the middle of anything, and in a forked child. */
  void (*close)(mp_session *session);

  /* Waits in place, until the deadline at most, in a program that has nothing else to do; false when
     that cannot be, at the deadline and after a signal. May be NULL. */
  bool (*wait_here)(mp_session *session, int64_t deadline_ns);

  /* Until when the statement that comes next may wait in place; 0: not at all. May be NULL. */
  void (*may_block_until)(mp_session *session, int64_t until_ns);

  /* The fd to wait for after MP_WAIT. */
  int (*wait_fd)(mp_session *session);

  /* Makes that fd readable until the next step, for whoever waits for open or recover. */
  void (*wake)(mp_session *session);

  /* Wake-ups between loans: an fd that `notify` makes readable and `clear` unreadable; `give` takes
     it back. -1 when no descriptor could be had. */
  int (*wakeup_take)(mp_driver *self);
  void (*wakeup_notify)(mp_driver *self, int fd);
  void (*wakeup_clear)(mp_driver *self, int fd);
  void (*wakeup_give)(mp_driver *self, int fd);

  /* Facts about a session. */
  uint64_t (*id)(const mp_session *session);
  bool (*is_in_transaction)(const mp_session *session);
  uint64_t (*server)(const mp_session *session); /* the same for sessions of the same server; may be NULL */
  bool (*is_read_only)(
      const mp_session *session); /* it began so, by the server's doing or init SQL's; may be NULL */
  bool (*is_writable)(const mp_session *session); /* its server said so at connect, where there is a need */
  int64_t (*idle_limit_ns)(const mp_session *session); /* the server closes it when idle for longer */
  mp_sql_mode (*sql_mode)(const mp_session *session);
  void (*summary)(const mp_session *session, mp_summary *summary);
  mp_column (*column)(const mp_session *session, unsigned index);
};

#endif
