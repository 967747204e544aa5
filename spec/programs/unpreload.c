/* Preloaded beside the sanitizers: keeps them out of the processes that specs start. */
#include <stdlib.h>

__attribute__((constructor)) static void forget_preload(void) {
  unsetenv("LD_PRELOAD");
}
