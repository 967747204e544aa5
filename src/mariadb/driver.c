/* The driver: what src/pool sees of this folder. */
#include "mariadb.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "call.h"
#include "close.h"
#include "connect.h"
#include "ending.h"
#include "flight.h"
#include "helper.h"
#include "mode.h"
#include "peek.h"
#include "prepared.h"
#include "program.h"
#include "protocol.h"
#include "query.h"
#include "recover.h"
#include "reset.h"
#include "transaction.h"

static mp_status session_step(mp_session *session, mp_error *err) {
  if (mp_call_is_foreign(session))
    return mp_call_fail_foreign(session->helper ? MP_PHASE_CONNECT : MP_PHASE_REPLY, err);
  return session->helper ? mp_helper_step(session, err) : mp_call_step(session, err);
}

static int wait_fd(mp_session *session) {
  return session->helper ? mp_helper_fd(session) : mp_call_wait_fd(session);
}

static uint64_t session_id(const mp_session *session) {
  return session->base.connection_id;
}

static bool is_in_transaction(const mp_session *session) {
  return session->mysql->server_status & SERVER_STATUS_IN_TRANS;
}

/* A hash (FNV-1a) of what identifies the server. */
static uint64_t server_of(const mp_session *session) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (const char *at = session->base.identity; *at; at++)
    hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
  return hash;
}

static bool is_read_only(const mp_session *session) {
  return session->base.tx_read_only;
}

static bool is_writable(const mp_session *session) {
  return session->base.writable;
}

/* Somewhat before the server would close it, so that the pool does it first. */
static int64_t idle_limit_ns(const mp_session *session) {
  return session->base.wait_timeout * (MP_SECOND / 10 * 9);
}

static int64_t now_ns(mp_driver *self) {
  (void)self;
  return mp_clock_ns();
}

/* The strings of mp_server that are copied, and freed. */
static const size_t strings[] = {
    offsetof(mp_server, user),      offsetof(mp_server, database),        offsetof(mp_server, charset),
    offsetof(mp_server, collation), offsetof(mp_server, tls_ca),          offsetof(mp_server, tls_cert),
    offsetof(mp_server, tls_key),   offsetof(mp_server, tls_fingerprint), offsetof(mp_server, public_key),
};
enum { STRINGS = sizeof strings / sizeof *strings };

static char **string_at(const mp_server *server, size_t i) {
  return (char **)((char *)server + strings[i]);
}

/* What was copied by then. */
static void free_addresses(mariadb_driver *driver) {
  for (size_t i = 0; driver->addresses && i < driver->server.address_count; i++) {
    free((char *)driver->addresses[i].host);
    free((char *)driver->addresses[i].socket);
  }
  for (size_t i = 0; driver->names && i < driver->server.address_count; i++)
    free(driver->names[i]);
  free(driver->addresses);
  free(driver->names);
}

static void forget(void *context, int fd) {
  mariadb_driver *driver = context;
  if (driver->server.forget)
    driver->server.forget(driver->server.context, fd);
}

static void free_driver(mp_driver *self) {
  mariadb_driver *driver = (mariadb_driver *)self;
  mp_server *server = &driver->server;
  mp_program_remove(driver);
  for (size_t i = 0; driver->init_sql && i < server->init_sql_count; i++)
    free(driver->init_sql[i]);
  free(driver->init_sql);
  free_addresses(driver);
  for (size_t i = 0; i < STRINGS; i++)
    free(*string_at(server, i));
  mp_pollsets_free(driver->pollsets);
  mp_wakeups_free(driver->wakeups);
  mp_closing_free(driver);
  free(driver);
}

/* A scheduler that is not told when a poll set is closed may still have its descriptor in its books, and
   stumble. Those of sockets it was never given. */
static void close_spare(mp_driver *self) {
  mariadb_driver *driver = (mariadb_driver *)self;
  driver->no_more_sessions = true;
  mp_closing_free(driver);
  if (driver->server.threads && !driver->server.forget)
    return;
  mp_pollsets_close(driver->pollsets);
  mp_wakeups_close(driver->wakeups);
}

static mp_wakeups *wakeups_of(mp_driver *self) {
  return ((mariadb_driver *)self)->wakeups;
}

static int wakeup_take(mp_driver *self) {
  return mp_wakeups_take(wakeups_of(self)).fd;
}

static void wakeup_notify(mp_driver *self, int fd) {
  mp_wakeups_notify(wakeups_of(self), fd);
}

static void wakeup_clear(mp_driver *self, int fd) {
  mp_wakeups_clear(wakeups_of(self), fd);
}

static void wakeup_give(mp_driver *self, int fd) {
  mp_wakeups_give(wakeups_of(self), fd);
}

static const char *host_name(const mp_driver *self, unsigned host) {
  return ((const mariadb_driver *)self)->names[host];
}

static const mp_driver mariadb_face = {
    .free = free_driver,
    .close_spare = close_spare,
    .now_ns = now_ns,
    .host_name = host_name,
    .open = mp_session_open,
    .connect_ns = mp_session_connect_ns,
    .step = session_step,
    .peek = mp_session_peek,
    .needs_peek = mp_session_needs_peek,
    .is_at_rest = mp_session_is_at_rest,
    .is_being_reset = mp_session_is_being_reset,
    .reset_send = mp_reset_send,
    .reset_read = mp_reset_read,
    .record = mp_flight_record,
    .check_baseline = mp_baseline_check,
    .query = mp_query_send,
    .ask = mp_query_ask_mode,
    .has_row = mp_call_has_row,
    .fetch = mp_protocol_fetch,
    .next_result = mp_protocol_next_result,
    .prepare = mp_prepared_prepare,
    .prepared_id = mp_prepared_last,
    .parameters = mp_prepared_parameters,
    .execute = mp_prepared_execute,
    .close_prepared = mp_prepared_close,
    .ping = mp_query_ping,
    .watch = mp_transaction_watch,
    .check_watched = mp_transaction_is_watched,
    .unwatch = mp_transaction_unwatch,
    .spoil = mp_transaction_spoil,
    .recover = mp_session_recover,
    .abort = mp_session_abort,
    .close = mp_session_close,
    .wait_here = mp_call_wait_here,
    .may_block_until = mp_call_may_block_until,
    .wait_fd = wait_fd,
    .wake = mp_helper_wake,
    .wakeup_take = wakeup_take,
    .wakeup_notify = wakeup_notify,
    .wakeup_clear = wakeup_clear,
    .wakeup_give = wakeup_give,
    .id = session_id,
    .is_in_transaction = is_in_transaction,
    .server = server_of,
    .is_read_only = is_read_only,
    .is_writable = is_writable,
    .idle_limit_ns = idle_limit_ns,
    .sql_mode = mp_mode_of,
    .summary = mp_protocol_summary,
    .column = mp_protocol_column,
};

static bool copy_strings(mariadb_driver *driver, const mp_server *from) {
  bool complete = true;
  for (size_t i = 0; i < STRINGS; i++) {
    char *text = *string_at(from, i), **to = string_at(&driver->server, i);
    *to = text ? strdup(text) : NULL;
    complete &= !text || *to;
  }
  return complete;
}

/* "name:port", and an address of IPv6 in brackets; the path of a unix socket. */
static char *name_of(const mp_address *address) {
  if (address->socket)
    return strdup(address->socket);
  size_t size = strlen(address->host) + sizeof "[]:65535";
  char *name = malloc(size);
  if (name)
    snprintf(name, size, strchr(address->host, ':') ? "[%s]:%u" : "%s:%u", address->host, address->port);
  return name;
}

static bool copy_addresses(mariadb_driver *driver, const mp_server *from) {
  bool complete = true;
  driver->addresses = calloc(from->address_count, sizeof *driver->addresses);
  driver->names = calloc(from->address_count, sizeof *driver->names);
  driver->server.addresses = driver->addresses;
  if (!driver->addresses || !driver->names)
    return false;
  for (size_t i = 0; i < from->address_count; i++) {
    const mp_address *address = &from->addresses[i];
    driver->addresses[i] = (mp_address){.host = address->host ? strdup(address->host) : NULL,
                                        .port = address->port,
                                        .socket = address->socket ? strdup(address->socket) : NULL};
    driver->names[i] = name_of(address);
    complete &= driver->names[i] && (!address->host || driver->addresses[i].host) &&
                (!address->socket || driver->addresses[i].socket);
  }
  return complete;
}

static bool copy_init_sql(mariadb_driver *driver, const mp_server *from) {
  driver->init_sql = calloc(from->init_sql_count + 1, sizeof *driver->init_sql);
  driver->server.init_sql = (const char *const *)driver->init_sql;
  for (size_t i = 0; driver->init_sql && i < from->init_sql_count; i++)
    if (!(driver->init_sql[i] = strdup(from->init_sql[i])))
      return false;
  return driver->init_sql != NULL;
}

/* libmariadb may be initialised once, and not by two threads at a time. It has SIGPIPE ignored, which
   under TLS it needs to have: a handler of the program's serves as well, and stays. */
static void init_library(void) {
  struct sigaction before;
  sigaction(SIGPIPE, NULL, &before);
  mysql_server_init(0, NULL, NULL);
  if (before.sa_handler != SIG_DFL)
    sigaction(SIGPIPE, &before, NULL);
  mp_ending_watch();
}

/* Before its 3.2 the library gave the number of the server that it came with, such as 100523. */
const char *mp_mariadb_too_old(void) {
  unsigned long version = mysql_get_client_version();
  return version < OLDEST_CONNECTOR_C || version >= 100000 ? mysql_get_client_info() : NULL;
}

const char *mp_mariadb_version(void) {
  return mysql_get_client_info();
}

mp_driver *mp_mariadb_new(const mp_server *server) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  mariadb_driver *driver = calloc(1, sizeof *driver);
  if (!driver)
    return NULL;
  pthread_once(&once, init_library);
  driver->face = mariadb_face;
  driver->server = *server;
  mp_program_add(driver);
  driver->wakeups = mp_wakeups_new(forget, driver);
  driver->pollsets = mp_pollsets_new(forget, driver);
  bool complete = driver->wakeups && driver->pollsets;
  complete = copy_strings(driver, server) && complete;
  complete = copy_addresses(driver, server) && complete;
  complete = copy_init_sql(driver, server) && complete;
  if (!complete) {
    free_driver(&driver->face);
    return NULL;
  }
  return &driver->face;
}
