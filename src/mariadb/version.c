/* The server's version. libmariadb's own function reads on behind the end of one without a dot. */
#include "version.h"

#include <ctype.h>
#include <stdlib.h>

/* Sets *at behind the number, and behind the dot that follows it. */
static unsigned number_at(const char **at) {
  char *end = NULL;
  unsigned long number = isdigit((unsigned char)**at) ? strtoul(*at, &end, 10) : 0;
  *at = end && *end == '.' ? end + 1 : "";
  return number < 1000 ? (unsigned)number : 0;
}

unsigned mp_server_version(const MYSQL *mysql) {
  const char *at = mysql->server_version ? mysql->server_version : "";
  unsigned major = number_at(&at), minor = number_at(&at);
  return major * 10000 + minor * 100 + number_at(&at);
}
