#include "guest.h"

static uint8_t name[1 << 20];

static const char *misuse(void) {
  handle_result loaded;
  for (uint32_t i = 0; i < sizeof name; i++) name[i] = 'm';
  graph_load_by_name(name, sizeof name, &loaded);
  return loaded.is_error ? code_of(loaded.handle) : "went on";
}
