#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  named_tensor inputs[] = {input("user", "one two three")};
  NEED(same(text(compute(context, inputs, 1)), "usage"));
  if (MISUSE) tensor_type(inputs[0].tensor);
  return "went on";
}
