// Traps when the host drops the generation.
#define IN_DESTRUCTOR if (MISUSE) __builtin_trap();
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
