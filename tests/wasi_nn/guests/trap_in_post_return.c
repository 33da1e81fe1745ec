// Traps when the host has read what it was given.
#define IN_POST_RETURN if (MISUSE) __builtin_trap();
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
