// Its text is a lone surrogate, which no UTF-8 holds.
#define IN_NEXT if (MISUSE) result[2] = (uint32_t)"\xed\xa0\x80", result[3] = 3;
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
