#include "guest.h"

static const char *misuse(void) {
  static uint32_t room[4];
  graph_load_by_name("model", 5, (handle_result *)((uint32_t)room + (MISUSE ? 1 : 0)));
  return "went on";
}
