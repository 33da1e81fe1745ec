#include "kinds.h"

static const char *misuse(void) {
  for (uint32_t i = 0; i < 10000; i++) {
    uint32_t used = arena_used;
    uint32_t handle = some_handle();
    NEED(handle);
    drop(handle);
    arena_used = used;
    if (KIND == 2) break; // its graph stays: once
  }
  return "went on";
}
