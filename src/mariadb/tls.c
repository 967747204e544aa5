/* TLS: verified unless the user says otherwise, and never silently plain. */
#include <errmsg.h>
#include <fcntl.h>
#include <unistd.h>

#include "session.h"

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

void mp_tls_set_options(MYSQL *mysql, const mp_server *server) {
  const char *ca = server->tls_ca || !server->tls_verify ? server->tls_ca : system_ca();
  my_bool yes = 1, verify = server->tls_verify;
  mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &yes);
  mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
  if (ca)
    mysql_options(mysql, MYSQL_OPT_SSL_CA, ca);
  if (server->tls_cert) {
    mysql_options(mysql, MYSQL_OPT_SSL_CERT, server->tls_cert);
    mysql_options(mysql, MYSQL_OPT_SSL_KEY, server->tls_key);
  }
}

/* Under TLS libmariadb's non-blocking calls block unless the socket itself does not. */
void mp_set_nonblocking(MYSQL *mysql) {
  int fd = mysql_get_socket(mysql);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

mp_status mp_tls_check(mp_session *session, mp_error *err) {
  if (!mysql_get_ssl_cipher(session->mysql))
    return mp_fail(err, MP_ERR_CONNECT, CR_SSL_CONNECTION_ERROR, "the server does not speak TLS");
  mp_set_nonblocking(session->mysql);
  return MP_DONE;
}
