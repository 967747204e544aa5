/* The work that mypool does between two loans, by a program that does just that: the four commands are sent
   at once, and their replies are read by itself, without libmariadb. */
#ifndef BENCH_FLIGHT_H
#define BENCH_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>

enum { FLIGHT_REPLIES = 4 };

/* What a session has received and nobody has read; zero-initialise it. */
struct reader {
  size_t at, end;
  unsigned char bytes[16384];
};

/* How far a reply has come; zero-initialise it. */
struct reply {
  unsigned columns; /* 0: not begun */
  unsigned rows;
  bool in_rows;
};

/* One command and the flight behind it, or either alone: sql NULL, with_flight false. */
void send_commands(int fd, const char *sql, const char *database, bool with_flight);

/* Receives what there is; false when that is nothing (of a socket that does not block). */
bool receive(struct reader *reader, int fd);

/* The next packet, when it is there as a whole. */
bool next_packet(struct reader *reader, const unsigned char **packet, size_t *length);

/* Takes a packet: true when it was the last of its reply. `row`: it is one. Ends the program for an error. */
bool ends_reply(struct reply *reply, const unsigned char *packet, size_t length, bool *row);

/* Whether the reply that has come is that to a command of the flight, the first being 0. Ends the program
   where it is not. */
void check_flight_reply(unsigned number, unsigned columns, unsigned rows);

/* Blocks until all replies of a flight have come. */
void read_flight(struct reader *reader, int fd);

#endif
