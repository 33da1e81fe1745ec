#include "guest.h"

static const char *misuse(void) {
  uint32_t dimensions[] = {1};
  tensor_new(dimensions, 1, MISUSE ? 7 : U8, "x", 1);
  return "went on";
}
