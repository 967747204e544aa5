/* How to make a driver for MariaDB and MySQL servers. */
#ifndef MYPOOL_MARIADB_H
#define MYPOOL_MARIADB_H

#include "mypool.h"

/* The address of a server. */
typedef struct mp_address {
  const char *host;   /* name or address; not with socket */
  unsigned port;      /* 1 to 65535 */
  const char *socket; /* path of a unix socket, or NULL; then it is the only address */
} mp_address;

/* The proof of who a server is, for a client that speaks TLS with it. */
typedef enum mp_trust {
  MP_TRUST_ANYBODY,    /* nothing is asked for */
  MP_TRUST_AUTHORITY,  /* a certificate that an authority of tls_ca has signed, for whatever name */
  MP_TRUST_NAME,       /* ... for the name or address that is connected to */
  MP_TRUST_CERTIFICATE /* the one certificate of tls_fingerprint, whoever has signed it */
} mp_trust;

/* The addresses and manners of a server, or of several that are equivalent. Strings may be NULL where the
   comment allows it; all are copied. */
typedef struct mp_server {
  const mp_address *addresses; /* of the hosts, in their order */
  size_t address_count;        /* at least 1 */
  const char *user, *database; /* NULL: none */
  const char *charset;         /* character set of the connection */
  const char *collation;       /* NULL: the server's default for the charset */
  bool tls;                    /* never silently plain */
  mp_trust tls_trust;          /* who is believed to be the server */
  bool tls_cleartext;          /* the password may be asked for as it is, with MP_TRUST_NAME */
  const char *tls_ca;          /* PEM file; NULL: the system's certificates */
  const char *tls_fingerprint; /* of MP_TRUST_CERTIFICATE: mp_mariadb_fingerprint_digits hexadecimal digits */
  const char *tls_cert, *tls_key; /* PEM files of the client; NULL: none */
  const char *public_key; /* PEM file of the server's RSA key, for passwords over plain TCP; NULL: none */
  const char *const *init_sql; /* statements of the baseline */
  size_t init_sql_count;
  mp_need need; /* with MP_NEED_WRITE a connect to a read-only server fails, by MP_ER_READ_ONLY_MODE */
  int64_t connect_timeout_ns;
  const char *application; /* connection attribute program_name; NULL: the library's */
  bool found_rows;         /* a statement's affected rows are those that it found, changed or not */
  bool autocommit_off;     /* sessions may have it off: else they are refused */
  bool threads;            /* connect on a helper thread, so that opening never blocks the caller */

  /* Asked at each connect, by whoever begins it. Returns a copy from malloc, or NULL: for no
     password, or with *err set. */
  char *(*password)(void *context, mp_error *err);
  /* Told of each fd that was waited on, before it is closed; NULL: nobody. */
  void (*forget)(void *context, int fd);
  void *context; /* of both */
} mp_server;

/* The version of the libmariadb found at run time if it is too old to be used, else NULL. */
const char *mp_mariadb_too_old(void);

/* The version of the libmariadb found at run time, such as "3.4.10", and how many hexadecimal digits the
   fingerprints have by which it knows a certificate: 40 (SHA-1) before 3.4, then 64 (SHA-256). */
const char *mp_mariadb_version(void);
unsigned mp_mariadb_fingerprint_digits(void);

/* A driver for mp_pool_new; NULL for want of memory. */
mp_driver *mp_mariadb_new(const mp_server *server);

#endif
