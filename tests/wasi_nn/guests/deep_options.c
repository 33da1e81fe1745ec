#include "guest.h"

static const char *misuse(void) {
  static uint8_t brackets[60000];
  uint32_t context = context_of(model());
  NEED(context);
  for (uint32_t i = 0; i < sizeof brackets; i++) brackets[i] = '[';
  named_tensor inputs[] = {input("user", "one"), {text("options"), tensor_of((bytes){brackets, sizeof brackets})}};
  return compute(context, inputs, 2);
}
