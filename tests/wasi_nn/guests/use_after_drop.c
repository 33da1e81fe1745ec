#include "kinds.h"

static const char *misuse(void) {
  uint32_t handle = some_handle();
  NEED(handle);
  use(handle);
  drop(handle);
  if (MISUSE) use(handle);
  return "went on";
}
