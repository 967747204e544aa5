/* Where the commands come from. */
#include "relay.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void control_make_pipe(struct relay *r) {
  int ends[2];
  if (pipe(ends) != 0 || dup2(ends[0], STDIN_FILENO) < 0)
    die("pipe");
  close(ends[0]);
  r->own_write_end = ends[1];
  /* Other children of the owner may have inherited its end of the pipe, so that it
     stays open when the owner dies. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  printf("control /proc/%ld/fd/%d\n", (long)getpid(), r->own_write_end);
}

/* Once the owner has opened the pipe, ours must not keep it from ending. */
static void give_up_own_end(struct relay *r) {
  if (r->own_write_end >= 0)
    close(r->own_write_end);
  r->own_write_end = -1;
}

static bool obey_lines(struct relay *r, char *text, size_t *size) {
  char *start = text, *newline;
  bool go_on = true;
  while (go_on && (newline = memchr(start, '\n', *size - (size_t)(start - text))) != NULL) {
    *newline = 0;
    go_on = command_run(r, start);
    start = newline + 1;
  }
  *size -= (size_t)(start - text);
  memmove(text, start, *size);
  return go_on;
}

bool control_obey(struct relay *r) {
  static char text[LINE_MAX_BYTES];
  static size_t size;
  ssize_t n = read(STDIN_FILENO, text + size, sizeof text - size);
  if (n < 0)
    return errno == EINTR || errno == EAGAIN;
  if (n == 0) /* also for a line that does not fit */
    return false;
  give_up_own_end(r);
  size += (size_t)n;
  return obey_lines(r, text, &size);
}
