// Traps while the host writes its answer.
#define IN_REALLOC if (armed && MISUSE) __builtin_trap();
#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  armed = true;
  prompt(context);
  return "went on";
}
