/* Promises in C: each `it` is one, in words. They register themselves, run one by one, and the
   first expectation that does not hold ends its promise.

       it("lends the most recently released session first") {
         expect(session_of(lend()) == newest);
       }
*/
#ifndef MYPOOL_SPEC_H
#define MYPOOL_SPEC_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#define it(words) SPEC_IT(words, __LINE__)
#define SPEC_IT(words, line) SPEC_PROMISE(words, line)
#define SPEC_PROMISE(words, line)                                                                            \
  static void promise_##line(void);                                                                          \
  __attribute__((constructor)) static void register_##line(void) {                                           \
    static spec_promise promise = {words, __FILE__, line, promise_##line, NULL};                             \
    spec_register(&promise);                                                                                 \
  }                                                                                                          \
  static void promise_##line(void)

/* What else must be true, `expect` says itself; the other two also show both sides. */
#define expect(condition)                                                                                    \
  ((condition) ? spec_count() : spec_fail(__FILE__, __LINE__, "expected %s", #condition))
#define expect_equal(actual, wanted)                                                                         \
  spec_equal(__FILE__, __LINE__, #actual, (int64_t)(actual), (int64_t)(wanted))
#define expect_text(actual, wanted) spec_text(__FILE__, __LINE__, #actual, (actual), (wanted))

typedef struct spec_promise {
  const char *words, *file;
  int line;
  void (*run)(void);
  struct spec_promise *next;
} spec_promise;

void spec_register(spec_promise *promise);

/* Runs before and after each promise; what `after` expects belongs to the promise. */
void spec_around(void (*before)(void), void (*after)(bool failed));

/* Says more about the circumstances of a failure, such as the seed of a random run. */
void spec_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

void spec_count(void);
void spec_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
void spec_equal(const char *file, int line, const char *words, int64_t actual, int64_t wanted);
void spec_text(const char *file, int line, const char *words, const char *actual, const char *wanted);

#endif
