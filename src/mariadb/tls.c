/* TLS: verified unless the user says otherwise, and never silently plain. */
#include "tls.h"

#include <errmsg.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/socket.h"

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

/* Without authorities libmariadb 3.4 takes the proof of the password for one of the server, and has then sent
   the user's name and a hash to somebody unknown. */
mp_status mp_tls_set_options(MYSQL *mysql, const mp_server *server, mp_error *err) {
  const char *ca = server->tls_ca || !server->tls_verify ? server->tls_ca : system_ca();
  if (server->tls_verify && !ca)
    return mp_fail(
        err, MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
        "tls = true: this system has no file of authorities to verify the server by: name one in tls.ca");
  my_bool yes = 1, verify = server->tls_verify;
  mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
  mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  if (ca)
    mysql_options(mysql, MYSQL_OPT_SSL_CA, ca);
  if (server->tls_cert) {
    mysql_options(mysql, MYSQL_OPT_SSL_CERT, server->tls_cert);
    mysql_options(mysql, MYSQL_OPT_SSL_KEY, server->tls_key);
    mysql_optionsv(mysql, MARIADB_OPT_TLS_PASSPHRASE, ""); /* else OpenSSL asks for one on the terminal */
  }
  return MP_DONE;
}

/* Under TLS libmariadb's non-blocking calls block unless the socket itself does not. */
void mp_tls_set_nonblocking(MYSQL *mysql) {
  mp_socket_set_nonblocking(mysql_get_socket(mysql));
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

/* For better words than libmariadb's. */
static mp_error *cleared(mp_error *err) {
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

/* Of a file that is not as it should be libmariadb may not even tell the name. */
static bool blame_file(mp_error *err, const char *option, const char *path, const char *kind) {
  bool found = false, locked = false, readable = path && find_pem(path, kind, &found, &locked);
  if (!path || (found && !locked))
    return false;
  if (!readable)
    mp_fail(cleared(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR, "tls.%s: cannot read '%s': %m", option,
            path);
  else
    mp_fail(cleared(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR, "tls.%s: %s %s in '%s'", option,
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

/* In the words of Connector/C 3.3, and of 3.4. */
static bool is_about_the_name(const char *message) {
  return strstr(message, "Validation of SSL server certificate failed") ||
         strstr(message, "Hostname verification failed");
}

static mp_status explain_refusal(const mp_session *session, mp_error *err) {
  const mp_server *server = &session->driver->server;
  if (blame_file(err, "ca", server->tls_ca, "CERTIFICATE") ||
      blame_file(err, "cert", server->tls_cert, "CERTIFICATE") ||
      blame_file(err, "key", server->tls_key, "PRIVATE KEY"))
    return MP_FAILED;
  if (strstr(err->message, "key values mismatch"))
    return mp_fail(cleared(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
                   "tls.key: '%s' is not the key of '%s'", server->tls_key, server->tls_cert);
  if (is_about_the_name(err->message))
    return mp_fail(cleared(err), MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR,
                   "TLS/SSL error: the server's certificate is not for '%s'",
                   session->address.host ? session->address.host : "localhost");
  if (was_cut(err->message))
    err->code = CR_SERVER_LOST;
  return MP_FAILED;
}

/* Under TLS 1.3 a server that refuses the client's certificate may just hang up, for all that can be
   seen: while the login is "sending authentication information" or "reading authorization packet". */
static void explain_loss(const mp_server *server, mp_error *err) {
  bool in_login = strstr(err->message, "authentication") || strstr(err->message, "authorization");
  if (server->tls_cert && in_login)
    strncat(err->message, " (maybe the server refused the certificate of tls.cert)",
            sizeof err->message - 1 - strlen(err->message));
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

/* There only where libmariadb was built with OpenSSL, and then it has been loaded. */
extern void ERR_clear_error(void) __attribute__((weak));

void mp_tls_clear_errors(const mp_session *session) {
  if (session->driver->server.tls && ERR_clear_error)
    ERR_clear_error();
}
