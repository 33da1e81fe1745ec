#include "guest.h"

static const char *misuse(void) {
  for (volatile uint32_t i = 0; MISUSE;) i++;
  return "went on";
}
