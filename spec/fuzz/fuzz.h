/* What the fuzz targets share. */
#ifndef MYPOOL_FUZZ_H
#define MYPOOL_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "mypool.h"

/* Holds also where assert does not. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : abort())

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without a byte to spare, so that a read beyond the end is seen. */
static inline char *fuzz_copy(const uint8_t *data, size_t size) {
  char *copy = malloc(size ? size : 1);
  FUZZ_CHECK(copy);
  memcpy(copy, data, size);
  return copy;
}

static inline void fuzz_add(mp_buffer *buffer, const char *text) {
  mp_buffer_add(buffer, text, strlen(text));
}

#endif
