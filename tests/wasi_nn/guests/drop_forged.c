#include "kinds.h"

static const char *misuse(void) {
  uint32_t handle = some_handle();
  NEED(handle);
  drop(MISUSE ? 4711 : handle);
  return "went on";
}
