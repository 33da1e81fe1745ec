#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  named_tensor inputs[] = {input("user", "one two"), input("user", "three")};
  if (MISUSE) inputs[1].tensor = inputs[0].tensor;
  compute(context, inputs, 2);
  return "went on";
}
