/* A file that nobody else can change or find, for libraries that take no bytes, only the name of a file. */
#ifndef MYPOOL_OS_PRIVATE_FILE_H
#define MYPOOL_OS_PRIVATE_FILE_H

#include <stddef.h>

enum { MP_PRIVATE_NAME = 32 };

/* Makes one of these bytes. Returns a descriptor, closed on exec: while it is open, this process can open the
   file by the name that is put into `name`. -1, with errno: it cannot. */
int mp_private_file_new(const void *bytes, size_t length, char name[MP_PRIVATE_NAME]);

#endif
