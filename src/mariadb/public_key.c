/* The server's RSA key, by which a password is encrypted where there is no TLS. libmariadb reads its file in
   the middle of the login, and asks whoever answers for a key when it cannot: so it gets a file of mypool's,
   with what has been read and looked at before. Keys of more than 8192 bits would overrun its stack. */
#include "public_key.h"

#include <errmsg.h>
#include <errno.h>
#include <fcntl.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/private_file.h"

enum {
  LONGEST_FILE = 16384,
  LONGEST_KEY = 1100,
  LONGEST_MODULUS = 1025
}; /* bytes; a zero comes before the bits */

static const char begin_line[] = "-----BEGIN PUBLIC KEY-----", end_line[] = "-----END PUBLIC KEY-----";

/* ---- the file ---- */

/* Does not wait where the file is a pipe. False, with errno, when it cannot be read. */
static bool read_file(const char *path, char text[LONGEST_FILE]) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return false;
  size_t length = 0;
  ssize_t more;
  while ((more = read(fd, text + length, LONGEST_FILE - 1 - length)) > 0)
    length += (size_t)more;
  int reason = errno;
  close(fd);
  errno = reason;
  text[length] = '\0';
  return more == 0;
}

static int digit_of(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

/* Decodes base64 up to its end, a "=" or a "-". Returns the number of bytes, 0 for what is none. */
static size_t decode(const char *text, unsigned char bytes[LONGEST_KEY]) {
  unsigned bits = 0, count = 0;
  size_t length = 0;
  for (; *text != '=' && *text != '-'; text++) {
    if (*text == '\n' || *text == '\r')
      continue;
    if (digit_of(*text) < 0 || length == LONGEST_KEY)
      return 0;
    bits = (bits << 6 | (unsigned)digit_of(*text)) & 0xffff;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes[length++] = (unsigned char)(bits >> count);
    }
  }
  return length;
}

/* ---- the key ---- */

/* The unread rest of an ASN.1 value in DER (ITU-T X.690). */
typedef struct der {
  const unsigned char *at, *end;
} der;

enum { INTEGER = 0x02, BIT_STRING = 0x03, SEQUENCE = 0x30 };

/* Reads the next value, which must be of this kind, into *value. */
static bool read_value(der *from, unsigned kind, der *value) {
  size_t left = (size_t)(from->end - from->at), length, bytes = 0;
  if (left < 2 || from->at[0] != kind)
    return false;
  length = from->at[1];
  if (length >= 0x80) {
    bytes = length & 0x7f;
    if (bytes > 2 || left < 2 + bytes)
      return false;
    length = bytes == 2 ? (size_t)from->at[2] << 8 | from->at[3] : bytes == 1 ? from->at[2] : 0;
  }
  if (left < 2 + bytes + length)
    return false;
  value->at = from->at + 2 + bytes;
  from->at = value->end = value->at + length;
  return true;
}

static size_t length_of(der value) {
  return (size_t)(value.end - value.at);
}

/* A SubjectPublicKeyInfo of an RSA key, of a size that libmariadb bears (RFC 3279, 2.3.1). */
static bool is_rsa_key(const unsigned char *bytes, size_t length) {
  static const unsigned char rsa[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
  der all = {bytes, bytes + length}, info, algorithm, bits, key, modulus, exponent;
  if (!read_value(&all, SEQUENCE, &info) || !read_value(&info, SEQUENCE, &algorithm) ||
      !read_value(&info, BIT_STRING, &bits))
    return false;
  if (length_of(algorithm) < sizeof rsa || memcmp(algorithm.at, rsa, sizeof rsa) != 0)
    return false;
  if (length_of(bits) < 1 || *bits.at++ != 0 || !read_value(&bits, SEQUENCE, &key))
    return false;
  return read_value(&key, INTEGER, &modulus) && read_value(&key, INTEGER, &exponent) &&
         length_of(modulus) > 1 && length_of(modulus) <= LONGEST_MODULUS && length_of(exponent) > 0;
}

/* The lines of the key. False when there is none. */
static bool find_key(const char *text, const char **from, size_t *length) {
  unsigned char bytes[LONGEST_KEY];
  const char *begin = strstr(text, begin_line), *end = begin ? strstr(begin, end_line) : NULL;
  if (!end || !is_rsa_key(bytes, decode(begin + strlen(begin_line), bytes)))
    return false;
  *from = begin;
  *length = (size_t)(end - begin) + strlen(end_line);
  return true;
}

/* ---- for libmariadb ---- */

mp_status mp_public_key_set(MYSQL *mysql, const char *path, int *fd, mp_error *err) {
  char text[LONGEST_FILE], name[MP_PRIVATE_NAME];
  const char *key;
  size_t length;
  if (!path)
    return MP_DONE;
  if (!read_file(path, text))
    return mp_fail(err, MP_ERR_CONNECT, CR_AUTH_PLUGIN_CANNOT_LOAD, "server_public_key: cannot read '%s': %m",
                   path);
  if (!find_key(text, &key, &length))
    return mp_fail(
        err, MP_ERR_CONNECT, CR_AUTH_PLUGIN_CANNOT_LOAD,
        "server_public_key: no RSA PUBLIC KEY in '%s': copy public_key.pem from the data folder of "
        "the server",
        path);
  *fd = mp_private_file_new(key, length, name);
  if (*fd < 0)
    return mp_fail(err, MP_ERR_CONNECT, CR_AUTH_PLUGIN_CANNOT_LOAD,
                   "server_public_key: cannot hand '%s' to libmariadb: %m", path);
  mysql_optionsv(mysql, MYSQL_SERVER_PUBLIC_KEY, name);
  return MP_DONE;
}

/* Frees the name that libmariadb has copied, which nothing else does. */
void mp_public_key_drop(MYSQL *mysql, int fd) {
  if (fd < 0)
    return;
  mysql_optionsv(mysql, MYSQL_SERVER_PUBLIC_KEY, NULL);
  close(fd);
}

/* A key that is too short for the password fails in libmariadb, one that is another server's at the
   server. */
void mp_public_key_explain(const mp_server *server, mp_error *err) {
  size_t length = strlen(err->message);
  if (!server->public_key)
    return;
  if (err->code == CR_UNKNOWN_ERROR) {
    err->code = CR_AUTH_PLUGIN_CANNOT_LOAD;
    snprintf(err->message, sizeof err->message,
             "server_public_key: the key in '%s' cannot encrypt the password: it needs a longer one",
             server->public_key);
  } else if (err->code == ER_ACCESS_DENIED_ERROR) {
    snprintf(err->message + length, sizeof err->message - length, " (or '%s' is not the key of this server)",
             server->public_key);
  }
}
