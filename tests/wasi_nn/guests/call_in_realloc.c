// Calls the host while the host writes its answer.
#define IN_REALLOC if (armed && MISUSE) armed = false, tensor_new((const uint32_t *)arena, 0, U8, arena, 0);
#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  armed = true;
  prompt(context);
  return "went on";
}
