#include "guest.h"

static uint32_t down(volatile uint32_t *depth) {
  ++*depth;
  return MISUSE && *depth < UINT32_MAX ? down(depth) + *depth : 0;
}

static const char *misuse(void) {
  volatile uint32_t depth = 0;
  return down(&depth) == 1 ? "not ready" : "went on";
}
