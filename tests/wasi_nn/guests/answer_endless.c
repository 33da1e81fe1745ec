// Its text never ends.
#define IN_NEXT if (MISUSE) is_told = false;
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
