#include "guest.h"

static const char *misuse(void) {
  uint32_t dimensions[] = {MISUSE ? SIZE : 1u};
  tensor_new(dimensions, 1, U8, "x", dimensions[0]);
  return "went on";
}
