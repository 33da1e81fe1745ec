// Gives the host room that is not there, or not aligned.
#define IN_REALLOC if (armed && MISUSE) return (void *)WHERE;
#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  armed = true;
  prompt(context);
  return "went on";
}
