// Its text has 2 GiB.
#define IN_NEXT if (MISUSE) result[3] = 0x80000000u;
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
