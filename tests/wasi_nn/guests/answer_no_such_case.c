// Its result is neither ok nor error.
#define IN_NEXT if (MISUSE) result[0] = 2;
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
