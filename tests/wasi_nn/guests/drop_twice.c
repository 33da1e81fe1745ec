#include "kinds.h"

static const char *misuse(void) {
  uint32_t handle = some_handle();
  NEED(handle);
  drop(handle);
  if (MISUSE) drop(handle);
  return "went on";
}
