/* The first bytes of a server. libmariadb takes an error packet with the code 65535 for a progress report,
   and looks for the server's version, which it does not have before the greeting: it would crash. */
#include "greeting.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "os/socket.h"

/* The beginning of an error packet with the code 65535, behind its length and number. */
static const unsigned char deadly[] = {0xff, 0xff, 0xff};
enum { PACKET_HEADER = 4, GREETING_NEEDED = PACKET_HEADER + sizeof deadly };

/* What cannot be looked at is libmariadb's to judge; so is why a connect failed, which a recv would
   take away. Once the server has begun to speak, what is left may be as short as it likes. */
mp_greeting mp_greeting_look(mp_session *session) {
  unsigned char first[GREETING_NEEDED];
  int fd = mysql_get_socket(session->mysql);
  mp_socket_state state = mp_socket_look(fd);
  if (session->login.greeted || state == MP_SOCKET_BROKEN)
    return MP_GREETING_TO_READ;
  ssize_t length = recv(fd, first, sizeof first, MSG_PEEK | MSG_DONTWAIT);
  bool too_short = length < 0 ? errno == EAGAIN : length > 0 && length < GREETING_NEEDED;
  if (too_short && state != MP_SOCKET_CLOSING) {
    mp_socket_set_low_water(fd, GREETING_NEEDED); /* so that poll does not tell of less */
    if (length > 0 && session->address.socket)
      poll(NULL, 0, 10); /* a unix socket knows no low water, and poll would tell of these bytes at once */
    return MP_GREETING_TO_COME;
  }
  mp_socket_set_low_water(fd, 1);
  session->login.greeted = length == GREETING_NEEDED;
  bool is_deadly = session->login.greeted && memcmp(first + PACKET_HEADER, deadly, sizeof deadly) == 0;
  return is_deadly ? MP_GREETING_DEADLY : MP_GREETING_TO_READ;
}
