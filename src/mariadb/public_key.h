/* The server's RSA key, by which a password is encrypted where there is no TLS. */
#ifndef MYPOOL_MARIADB_PUBLIC_KEY_H
#define MYPOOL_MARIADB_PUBLIC_KEY_H

#include <mysql.h>

#include "mariadb.h"

/* Reads the file, and has libmariadb take the key that is in it, until it is dropped: of a file of its own,
   whose descriptor is put into *fd. Without a path nothing is done. Fails where the file cannot be read or
   holds no key. */
mp_status mp_public_key_set(MYSQL *mysql, const char *path, int *fd, mp_error *err);

/* Once the login is over. fd: what mp_public_key_set has put there, or -1. */
void mp_public_key_drop(MYSQL *mysql, int fd);

/* Better words than libmariadb's for a login that failed for want of a fitting key. */
void mp_public_key_explain(const mp_server *server, mp_error *err);

#endif
