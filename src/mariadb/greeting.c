/* The first bytes of a server. libmariadb takes an error packet with the code 65535 for a progress report,
   and looks for the server's version, which it does not have before the greeting: it would crash. A greeting
   without TLS it accepts in some cases where TLS is wanted, and goes on in clear. */
#include "greeting.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "os/socket.h"

/* The beginning of an error packet with the code 65535, behind its length and number. */
static const unsigned char deadly[] = {0xff, 0xff, 0xff};
enum {
  PACKET_HEADER = 4,
  PACKET_NUMBER = 3, /* where it stands: a server's first packet has 0, and no text does */
  GREETING_NEEDED = PACKET_HEADER + sizeof deadly,
  LONGEST = 1024,          /* some 90 bytes are usual */
  BEFORE_CAPABILITIES = 14 /* bytes from the end of the version to their lower half */
};

/* The number of bytes that must be there: of a greeting where TLS is wanted, all. */
static size_t bytes_needed(const mp_session *session, const unsigned char *first, size_t length) {
  if (length < GREETING_NEEDED || !session->driver->server.tls || first[PACKET_HEADER] == 0xff)
    return GREETING_NEEDED;
  size_t whole = PACKET_HEADER + ((size_t)first[0] | (size_t)first[1] << 8 | (size_t)first[2] << 16);
  return whole < GREETING_NEEDED ? GREETING_NEEDED : whole < LONGEST ? whole : LONGEST;
}

/* The greeting of protocol 10: its number, the version with a zero, the thread (4), the challenge (8), a
   zero, the lower half of the capabilities (MariaDB knowledge base, "Connection"). */
static bool has_tls(const unsigned char *first, size_t length) {
  const unsigned char *version = first + PACKET_HEADER + 1, *end = first + length;
  const unsigned char *at = memchr(version, 0, (size_t)(end - version));
  if (first[PACKET_HEADER] != 10 || !at || end - at < BEFORE_CAPABILITIES + 2)
    return false;
  return (at[BEFORE_CAPABILITIES] | at[BEFORE_CAPABILITIES + 1] << 8) & CLIENT_SSL;
}

static mp_greeting judge(const mp_session *session, const unsigned char *first, size_t length) {
  if (memcmp(first + PACKET_HEADER, deadly, sizeof deadly) == 0)
    return MP_GREETING_DEADLY;
  if (first[PACKET_NUMBER] != 0)
    return MP_GREETING_FOREIGN;
  if (!session->driver->server.tls || first[PACKET_HEADER] == 0xff || has_tls(first, length))
    return MP_GREETING_TO_READ;
  return MP_GREETING_WITHOUT_TLS;
}

/* A greeting that cannot be looked at is libmariadb's to judge; so is why a connect failed, which a recv
   would take away, and one that ends too early. Once the server has begun to speak, the rest may be as short
   as it likes. */
mp_greeting mp_greeting_look(mp_session *session) {
  unsigned char first[LONGEST];
  int fd = mysql_get_socket(session->mysql);
  mp_socket_state state = mp_socket_look(fd);
  if (session->login.greeted || state == MP_SOCKET_BROKEN)
    return MP_GREETING_TO_READ;
  ssize_t length = recv(fd, first, sizeof first, MSG_PEEK | MSG_DONTWAIT);
  size_t needed = bytes_needed(session, first, length > 0 ? (size_t)length : 0);
  bool too_short = length < 0 ? errno == EAGAIN : length > 0 && (size_t)length < needed;
  if (too_short && state != MP_SOCKET_CLOSING) {
    /* So that poll does not tell of less; a unix socket knows no low water. */
    bool heeded = mp_socket_set_low_water(fd, (int)needed) && !session->address.socket;
    if (length > 0 && !heeded)
      poll(NULL, 0, 10); /* it would tell of these bytes at once */
    return MP_GREETING_TO_COME;
  }
  mp_socket_set_low_water(fd, 1);
  session->login.greeted = length > 0 && (size_t)length >= needed;
  return session->login.greeted ? judge(session, first, (size_t)length) : MP_GREETING_TO_READ;
}
