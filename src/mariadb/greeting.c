/* The first bytes of a server. libmariadb takes an error packet with the code 65535 for a progress report,
   and looks for the server's version, which it does not have before the greeting: it would crash. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "session.h"

/* The beginning of an error packet with the code 65535, behind its length and number. */
static const unsigned char deadly[] = {0xff, 0xff, 0xff};
enum { PACKET_HEADER = 4, GREETING_NEEDED = PACKET_HEADER + sizeof deadly };

static bool has_ended(int fd) {
  struct pollfd socket = {.fd = fd, .events = POLLRDHUP};
  return poll(&socket, 1, 0) > 0;
}

/* So that poll does not tell of less. */
static void set_low_water(int fd, int bytes) {
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

/* What cannot be looked at is libmariadb's to judge. */
mp_greeting mp_greeting_look(int fd) {
  unsigned char first[GREETING_NEEDED];
  ssize_t length = recv(fd, first, sizeof first, MSG_PEEK | MSG_DONTWAIT);
  bool too_short = length < 0 ? errno == EAGAIN : length > 0 && length < GREETING_NEEDED;
  if (too_short && !has_ended(fd)) {
    set_low_water(fd, GREETING_NEEDED);
    return MP_GREETING_TO_COME;
  }
  set_low_water(fd, 1);
  bool whole = length == GREETING_NEEDED;
  return whole && memcmp(first + PACKET_HEADER, deadly, sizeof deadly) == 0 ? MP_GREETING_DEADLY
                                                                            : MP_GREETING_TO_READ;
}
