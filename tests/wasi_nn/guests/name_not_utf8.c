#include "guest.h"

static const char *misuse(void) {
  handle_result loaded;
  graph_load_by_name(MISUSE ? "\xed\xa0\x80" : "model", MISUSE ? 3 : 5, &loaded); // a lone surrogate
  return "went on";
}
