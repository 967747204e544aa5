/* Sends packets that are put together already. */
#include "packets.h"

#include <errno.h>
#include <string.h>

#include "os/socket.h"
#include "tls.h"

size_t mp_packet_size(const char *at) {
  const unsigned char *header = (const unsigned char *)at;
  return 4 + ((size_t)header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16);
}

static bool send_each(MYSQL *mysql, const char *at, size_t length) {
  const char *end = at + length;
  bool sent = true;
  while (sent && at < end) {
    size_t size = mp_packet_size(at);
    const char *argument = size > 5 ? at + 5 : NULL; /* of length 0 it would be measured to its NUL */
    enum enum_server_command command = (enum enum_server_command)at[4];
    sent = mysql->methods->db_command(mysql, command, argument, size - 5, 1, NULL) == 0;
    at += size;
  }
  return sent;
}

/* Under TLS libmariadb must write, which sets the socket to blocking. */
static bool send_by_library(MYSQL *mysql, const struct iovec *parts, size_t count) {
  bool sent = true;
  for (size_t i = 0; sent && i < count; i++)
    sent = send_each(mysql, parts[i].iov_base, parts[i].iov_len);
  mp_tls_set_nonblocking(mysql);
  errno = 0;
  return sent;
}

/* One system call for all of it: half the cost of a call for each command. */
bool mp_packets_send(mp_session *session, const struct iovec *parts, size_t count) {
  if (session->driver->server.tls)
    return send_by_library(session->mysql, parts, count);
  return mp_socket_send(mysql_get_socket(session->mysql), parts, count);
}

const char *mp_packets_reason(int error) {
  return error ? strerror(error) : "only a part of it was taken";
}
