#include "kinds.h"

static const char *misuse(void) {
  uint32_t handle = some_handle();
  uint32_t other = KIND ? tensor_of(text("x")) : model();
  NEED(handle && other);
  drop(MISUSE ? other : handle);
  return "went on";
}
