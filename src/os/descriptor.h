/* File descriptors, whatever they stand for. */
#ifndef MYPOOL_OS_DESCRIPTOR_H
#define MYPOOL_OS_DESCRIPTOR_H

void mp_descriptor_set_nonblocking(int fd);
void mp_descriptor_close_on_exec(int fd);

/* Puts the file of `with`, which is closed, in the place of that of fd; it is closed on exec. */
void mp_descriptor_replace(int fd, int with);

#endif
