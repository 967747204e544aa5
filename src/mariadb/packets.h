/* Packets that are put together already, one behind the other, on their way to the server. */
#ifndef MYPOOL_MARIADB_PACKETS_H
#define MYPOOL_MARIADB_PACKETS_H

#include <sys/uio.h>

#include "session.h"

/* So much goes into the buffer of any socket that is empty: sending it cannot block. */
enum { MP_PACKETS_AT_ONCE = 16 * 1024 };

/* The size of the packet that begins there, its header included. */
size_t mp_packet_size(const char *at);

/* Sends these parts, each of whole packets: without TLS any cut of them will do, for they go in one system
   call. False: the connection is of no more use; errno says why, and is 0 where a part of them may have been
   sent. */
bool mp_packets_send(mp_session *session, const struct iovec *parts, size_t count);

/* Why it failed, by the errno that it left. */
const char *mp_packets_reason(int error);

#endif
