/* The commands of a reset in one send, and their replies. */
#include "flight.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "c.h"

/* ---- sending ---- */

enum { RESET_CONNECTION = 31, INIT_DB = 2, QUERY = 3 };

struct packets {
  size_t length;
  char bytes[1024];
};

/* Three bytes of length, a number, the command. */
static void add(struct packets *packets, char command, const char *text) {
  size_t length = strlen(text), size = length + 1;
  char header[5] = {(char)size, (char)(size >> 8), 0, 0, command};
  if (packets->length + sizeof header + length > sizeof packets->bytes)
    fail("a command is too long");
  memcpy(packets->bytes + packets->length, header, sizeof header);
  memcpy(packets->bytes + packets->length + sizeof header, text, length);
  packets->length += sizeof header + length;
}

void send_commands(int fd, const char *sql, const char *database, bool with_flight) {
  struct packets packets = {.length = 0};
  if (sql)
    add(&packets, QUERY, sql);
  if (with_flight) {
    add(&packets, RESET_CONNECTION, "");
    add(&packets, INIT_DB, database);
    add(&packets, QUERY, "SELECT 1 FROM DUAL WHERE CURRENT_ROLE() IS NOT NULL OR @@tx_read_only LIMIT 1");
    add(&packets, QUERY, "SHOW PROFILES");
  }
  if (send(fd, packets.bytes, packets.length, MSG_NOSIGNAL) != (ssize_t)packets.length)
    fail("a send failed");
}

/* ---- reading ---- */

bool receive(struct reader *reader, int fd) {
  memmove(reader->bytes, reader->bytes + reader->at, reader->end - reader->at);
  reader->end -= reader->at;
  reader->at = 0;
  ssize_t count = recv(fd, reader->bytes + reader->end, sizeof reader->bytes - reader->end, 0);
  if (count < 0 && errno == EAGAIN)
    return false;
  if (count <= 0)
    fail("a session was lost");
  reader->end += (size_t)count;
  return true;
}

bool next_packet(struct reader *reader, const unsigned char **packet, size_t *length) {
  const unsigned char *at = reader->bytes + reader->at;
  size_t left = reader->end - reader->at;
  if (left < 4)
    return false;
  *length = (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16;
  if (left - 4 < *length)
    return false;
  *packet = at + 4;
  reader->at += 4 + *length;
  return true;
}

bool ends_reply(struct reply *reply, const unsigned char *packet, size_t length, bool *row) {
  bool end = packet[0] == 0xFE && length < 9;
  *row = false;
  if (packet[0] == 0xFF)
    fail("the server refused a command");
  if (reply->columns == 0) {
    reply->columns = packet[0];
    return packet[0] == 0;
  }
  if (reply->in_rows && !end) {
    *row = true;
    reply->rows++;
  }
  bool last = end && reply->in_rows;
  reply->in_rows |= end;
  return last;
}

void check_flight_reply(unsigned number, unsigned columns, unsigned rows) {
  static const unsigned due[FLIGHT_REPLIES] = {0, 0, 1, 3};
  if (columns != due[number] || rows > 0)
    fail("a session is not clean");
}

void read_flight(struct reader *reader, int fd) {
  const unsigned char *packet;
  size_t length;
  bool row;
  for (unsigned i = 0; i < FLIGHT_REPLIES; i++) {
    struct reply reply = {0};
    do
      while (!next_packet(reader, &packet, &length))
        receive(reader, fd);
    while (!ends_reply(&reply, packet, length, &row));
    check_flight_reply(i, reply.columns, reply.rows);
  }
}
