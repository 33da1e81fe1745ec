#include "kinds.h"

static const char *misuse(void) {
  uint32_t handle = some_handle();
  NEED(handle);
  use(MISUSE ? FORGED : handle);
  return "went on";
}
