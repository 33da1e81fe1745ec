#include "guest.h"

static const char *misuse(void) {
  static uint32_t dimensions[100000];
  uint32_t context = context_of(model());
  NEED(context);
  for (uint32_t i = 0; i < 100000; i++) dimensions[i] = 1;
  named_tensor inputs[] = {{text("user"), tensor_new(dimensions, 100000, U8, "x", 1)}};
  return compute(context, inputs, 1);
}
