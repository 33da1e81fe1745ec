#include "guest.h"

static const char *misuse(void) {
  handle_result loaded;
  bytes builder = text("x");
  graph_load(&builder, MISUSE ? COUNT : 1, GGML, CPU, &loaded);
  return "went on";
}
