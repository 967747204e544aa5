/* Runs the promises: one line for each that fails, a summary at the end. */
#include "spec.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static spec_promise *promises; /* in the order of file and line */
static const spec_promise *current;
static void (*before_each)(void);
static void (*after_each)(bool failed);
static jmp_buf end_of_promise;
static unsigned expectations;
static char note[128];

static bool comes_before(const spec_promise *a, const spec_promise *b) {
  int files = strcmp(a->file, b->file);
  return files < 0 || (files == 0 && a->line < b->line);
}

void spec_register(spec_promise *promise) {
  spec_promise **at = &promises;
  while (*at && comes_before(*at, promise))
    at = &(*at)->next;
  promise->next = *at;
  *at = promise;
}

void spec_around(void (*before)(void), void (*after)(bool failed)) {
  before_each = before;
  after_each = after;
}

void spec_note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(note, sizeof note, format, arguments);
  va_end(arguments);
}

void spec_count(void) {
  expectations++;
}

void spec_fail(const char *file, int line, const char *format, ...) {
  va_list arguments;
  printf("%s:%d: \"%s\" ", file, line, current->words);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("%s%s\n", *note ? ", " : "", note);
  longjmp(end_of_promise, 1);
}

void spec_equal(const char *file, int line, const char *words, int64_t actual, int64_t wanted) {
  if (actual != wanted)
    spec_fail(file, line, "expected %s to be %" PRId64 ", not %" PRId64, words, wanted, actual);
  spec_count();
}

void spec_text(const char *file, int line, const char *words, const char *actual, const char *wanted) {
  if (strcmp(actual, wanted) != 0)
    spec_fail(file, line, "expected %s to be \"%s\", not \"%s\"", words, wanted, actual);
  spec_count();
}

static void run_to_the_end(const spec_promise *promise) {
  if (before_each)
    before_each();
  promise->run();
  if (expectations == 0)
    spec_fail(promise->file, promise->line, "expects nothing");
  if (after_each)
    after_each(false);
}

static bool keeps(const spec_promise *promise) {
  current = promise;
  expectations = 0;
  *note = '\0';
  if (setjmp(end_of_promise) == 0) {
    run_to_the_end(promise);
    return true;
  }
  if (after_each)
    after_each(true);
  return false;
}

/* An assertion of the code itself ends the program: say at least where. */
static void aborted(int number) {
  printf("%s:%d: \"%s\" aborted %s\n", current->file, current->line, current->words, note);
  fflush(stdout);
  signal(number, SIG_DFL);
  raise(number);
}

/* With arguments: only the promises whose file or words hold one of them. */
static bool wanted(const spec_promise *promise, int count, char **words) {
  for (int i = 1; i < count; i++)
    if (strstr(promise->words, words[i]) || strstr(promise->file, words[i]))
      return true;
  return count <= 1;
}

int main(int count, char **words) {
  unsigned passed = 0, failed = 0;
  setvbuf(stdout, NULL, _IOLBF, 0); /* what was said must survive a crash */
  signal(SIGABRT, aborted);
  for (const spec_promise *promise = promises; promise; promise = promise->next) {
    if (!wanted(promise, count, words))
      continue;
    if (keeps(promise))
      passed++;
    else
      failed++;
  }
  printf("%u passed, %u failed\n", passed, failed);
  return failed > 0;
}
