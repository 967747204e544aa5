/* TLS: verified unless the user says otherwise, and never silently plain. */
#include "tls.h"

#include <errmsg.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/descriptor.h"

/* Without a file of its own each connection would parse the system's whole store, and the
   verification that guards against stripping takes effect only with one. */
static const char *system_ca(void) {
  static const char *const files[] = {
      "/etc/ssl/certs/ca-certificates.crt",          /* Debian, Arch */
      "/etc/pki/tls/certs/ca-bundle.crt",            /* Fedora */
      "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", /* SUSE, Alpine */
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (access(files[i], R_OK) == 0)
      return files[i];
  return NULL;
}

/* Since 3.4 libmariadb compares fingerprints by the hash that fits their length, checks the name wherever it
   is not told otherwise, and lets a function decide. The library counts that is there at run time: its
   headers may have been those of another version. */
static bool has_verification_callback(void) {
  return mysql_get_client_version() >= 30400;
}

/* By SHA-1 3.4 could, too; but there is no reason to. */
unsigned mp_mariadb_fingerprint_digits(void) {
  return has_verification_callback() ? 64 : 40;
}

#if MARIADB_PACKAGE_VERSION_ID < 30400
#define MARIADB_OPT_TLS_VERIFICATION_CALLBACK (MARIADB_OPT_SERVER_PLUGINS + 2)
#define MARIADB_TLS_VERIFY_STATUS (MARIADB_CONNECTION_BYTES_SENT + 2)
#define MARIADB_TLS_VERIFY_HOST 2
#define MARIADB_TLS_VERIFY_FINGERPRINT 4
#define MARIADB_TLS_VERIFY_PERIOD 8
#define tls_verify_status unused_2 /* of NET, in the same place */
#endif

/* libmariadb does not tell the function that decides whose handshake it is about. */
static _Thread_local MYSQL *in_handshake;

void mp_tls_enter_handshake(MYSQL *mysql) {
  in_handshake = mysql;
}

/* The handshake has noted, and worded, what is wrong with the certificate but for its name, which nobody has
   looked at yet. Returns 0 when the server may be trusted. */
static int decide_by_authority(void *tls, unsigned flags) {
  NET *net = &in_handshake->net;
  unsigned faults = (unsigned char)net->tls_verify_status & ~(unsigned)MARIADB_TLS_VERIFY_HOST;
  (void)tls, (void)flags;
  if (!faults && !net->last_errno)
    return 0;
  if (!net->last_errno) {
    net->last_errno = CR_SSL_CONNECTION_ERROR;
    strcpy(net->last_error, "TLS/SSL error: the server's certificate is not trusted");
  }
  return 1;
}

/* 3.3 does not check the name where it is not told to verify, but for that looks whether an authority of the
   file has signed the certificate. */
static mp_status trust_authority(MYSQL *mysql, mp_error *err) {
  my_bool verify = has_verification_callback();
  mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  if (verify && mysql_optionsv(mysql, (enum mysql_option)MARIADB_OPT_TLS_VERIFICATION_CALLBACK,
                               (const void *)decide_by_authority) != 0)
    return mp_fail(err, MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
                   "tls.verify = 'ca': Connector/C %s cannot verify the authority alone: install a newer one",
                   mysql_get_client_info());
  return MP_DONE;
}

/* Told to verify, 3.3 demands an authority and the name as well. */
static void trust_certificate(MYSQL *mysql, const mp_server *server) {
  my_bool verify = has_verification_callback();
  mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  mysql_options(mysql, MARIADB_OPT_TLS_PEER_FP, server->tls_fingerprint);
}

static mp_status set_trust(MYSQL *mysql, const mp_server *server, mp_error *err) {
  my_bool verify = server->tls && server->tls_trust == MP_TRUST_NAME;
  switch (server->tls ? server->tls_trust : MP_TRUST_ANYBODY) {
  case MP_TRUST_AUTHORITY:
    return trust_authority(mysql, err);
  case MP_TRUST_CERTIFICATE:
    trust_certificate(mysql, server);
    return MP_DONE;
  default:
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    return MP_DONE;
  }
}

/* Without authorities libmariadb 3.4 takes the proof of the password for one of the server, and has then sent
   the user's name and a hash to somebody unknown. */
static mp_status set_authorities(MYSQL *mysql, const mp_server *server, mp_error *err) {
  const char *ca = server->tls_ca || server->tls_trust != MP_TRUST_NAME ? server->tls_ca : system_ca();
  if (!ca && (server->tls_trust == MP_TRUST_NAME || server->tls_trust == MP_TRUST_AUTHORITY))
    return mp_fail(
        err, MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
        "tls = true: this system has no file of authorities to verify the server by: name one in tls.ca");
  if (ca)
    mysql_options(mysql, MYSQL_OPT_SSL_CA, ca);
  return MP_DONE;
}

/* Some builds of 3.4 speak TLS unless told that nothing is to be verified. */
mp_status mp_tls_set_options(MYSQL *mysql, const mp_server *server, mp_error *err) {
  my_bool enforce = server->tls;
  if (set_trust(mysql, server, err) != MP_DONE)
    return MP_FAILED;
  if (!server->tls)
    return MP_DONE;
  mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &enforce);
  if (server->tls_cert) {
    mysql_options(mysql, MYSQL_OPT_SSL_CERT, server->tls_cert);
    mysql_options(mysql, MYSQL_OPT_SSL_KEY, server->tls_key);
    mysql_optionsv(mysql, MARIADB_OPT_TLS_PASSPHRASE, ""); /* else OpenSSL asks for one on the terminal */
  }
  return set_authorities(mysql, server, err);
}

/* Under TLS libmariadb's non-blocking calls block unless the socket itself does not. */
void mp_tls_set_nonblocking(MYSQL *mysql) {
  mp_descriptor_set_nonblocking(mysql_get_socket(mysql));
}

mp_status mp_tls_check(mp_session *session, mp_error *err) {
  if (!mysql_get_ssl_cipher(session->mysql))
    return mp_fail(err, MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR, "the server does not speak TLS");
  mp_tls_set_nonblocking(session->mysql);
  return MP_DONE;
}

/* ---- why a login over TLS failed ----
   libmariadb gives one number to all that TLS may refuse, and to a connection that is cut in the middle
   of its handshake. Only that may be tried again: it becomes a lost connection here. */

/* Empties *err for better words than libmariadb's. */
static mp_error *clear(mp_error *err) {
  *err = (mp_error){.phase = err->phase};
  return err;
}

/* Sets *locked when a key is encrypted. False, with errno, when the file cannot be read. */
static bool find_pem(const char *path, const char *kind, bool *found, bool *locked) {
  char line[256];
  FILE *file = fopen(path, "re");
  if (!file)
    return false;
  while (fgets(line, sizeof line, file)) {
    *found = *found || (strncmp(line, "-----BEGIN ", 11) == 0 && strstr(line, kind));
    *locked = *locked || strstr(line, "ENCRYPTED");
  }
  bool readable = !ferror(file);
  int reason = errno;
  fclose(file);
  errno = reason;
  return readable;
}

/* libmariadb may not even tell the name of a file that is not as it should be. */
static bool blame_file(mp_error *err, const char *option, const char *path, const char *kind) {
  bool found = false, locked = false, readable = path && find_pem(path, kind, &found, &locked);
  if (!path || (found && !locked))
    return false;
  if (!readable)
    mp_fail(clear(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR, "tls.%s: cannot read '%s': %m", option,
            path);
  else
    mp_fail(clear(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR, "tls.%s: %s %s in '%s'", option,
            found ? "a passphrase locks the" : "no PEM", kind, path);
  return true;
}

/* Network errors end with the errno; those of files were found before. */
static bool was_cut(const char *message) {
  static const char *const texts[] = {
      "unexpected eof",                            /* OpenSSL */
      "non-properly terminated", "Error in the pu" /* …ll function, …sh function: GnuTLS */
  };
  const char *number = strrchr(message, '(');
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (strstr(message, texts[i]))
      return true;
  return number && atoi(number + 1) > 0;
}

/* The faults of the certificate, which 3.4 tells by bits, and 3.3 in words. */
static unsigned faults_of(const mp_session *session, const mp_error *err) {
  unsigned faults = 0;
  if (has_verification_callback())
    mariadb_get_infov(session->mysql, (enum mariadb_value)MARIADB_TLS_VERIFY_STATUS, &faults);
  else if (strstr(err->message, "Fingerprint verification"))
    faults = MARIADB_TLS_VERIFY_FINGERPRINT;
  else if (strstr(err->message, "Validation of SSL server certificate failed"))
    faults = MARIADB_TLS_VERIFY_HOST;
  return faults;
}

/* 3.4 refuses a certificate that is not valid at this time although it is the one, and says that no authority
   has signed it. */
static bool blame_certificate(const mp_session *session, mp_error *err) {
  bool is_one = session->driver->server.tls_trust == MP_TRUST_CERTIFICATE;
  unsigned faults = faults_of(session, err);
  const char *host = session->address.host ? session->address.host : "localhost";
  if (is_one && (faults & MARIADB_TLS_VERIFY_FINGERPRINT))
    mp_fail(clear(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
            "TLS/SSL error: the server's certificate is not the one of tls.fingerprint");
  else if (is_one && (faults & MARIADB_TLS_VERIFY_PERIOD))
    mp_fail(clear(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
            "TLS/SSL error: the certificate of tls.fingerprint has expired, or is not yet valid");
  else if (faults & MARIADB_TLS_VERIFY_HOST)
    mp_fail(clear(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
            "TLS/SSL error: the server's certificate is not for '%s'", host);
  else
    return false;
  return true;
}

static mp_status explain_refusal(const mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  if (blame_file(err, "ca", server->tls_ca, "CERTIFICATE") ||
      blame_file(err, "cert", server->tls_cert, "CERTIFICATE") ||
      blame_file(err, "key", server->tls_key, "PRIVATE KEY"))
    return MP_FAILED;
  if (strstr(err->message, "key values mismatch"))
    return mp_fail(clear(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
                   "tls.key: '%s' is not the key of '%s'", server->tls_key, server->tls_cert);
  if (!blame_certificate(session, err) && was_cut(err->message))
    err->code = CR_SERVER_LOST;
  return MP_FAILED;
}

/* Under TLS 1.3 a server that refuses the client's certificate may just hang up, for all that can be
   seen: while the login is "sending authentication information" or "reading authorization packet", or
   "during query", as the plugins of authentication call what they read. */
static void explain_loss(const mp_server *server, mp_error *err) {
  bool in_login = strstr(err->message, "authentication") || strstr(err->message, "authorization") ||
                  strstr(err->message, "during query");
  if (server->tls_cert && in_login)
    mp_error_follow(err, " (maybe the server refused the certificate of tls.cert)");
}

mp_status mp_tls_explain(const mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  if (server->tls && err->code == CR_SSL_CONNECTION_ERROR)
    explain_refusal(session, err);
  if (server->tls && err->code == CR_SERVER_LOST)
    explain_loss(server, err);
  return MP_FAILED;
}

/* ---- encrypted sessions that do not break each other ----
   OpenSSL notes the failures of a thread in one queue, and takes what it finds there for the
   outcome of the call just made (SSL_get_error(3)). libmariadb leaves there what ended a session:
   unless the queue is emptied before each call that may read, the next session that has to wait for its
   server would be told that it is lost. */

/* The function is there only where libmariadb was built with OpenSSL, and then it has been loaded. */
extern void ERR_clear_error(void) __attribute__((weak));

void mp_tls_clear_errors(const mp_session *session) {
  if (session->driver->server.tls && ERR_clear_error)
    ERR_clear_error();
}
