/* Text that grows. */
#include "sql.h"

#include <stdlib.h>

bool mp_buffer_grow(mp_buffer *buffer, size_t more) {
  size_t wanted = buffer->length + more;
  size_t capacity = buffer->capacity ? buffer->capacity : 128;
  while (capacity < wanted)
    capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
  char *data = realloc(buffer->data, capacity);
  if (!data) {
    buffer->failed = true;
    return false;
  }
  buffer->data = data;
  buffer->capacity = capacity;
  return true;
}

void mp_buffer_free(mp_buffer *buffer) {
  free(buffer->data);
  *buffer = (mp_buffer){0};
}
