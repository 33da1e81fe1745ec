#include "guest.h"

// Inputs belong to the host from the call on, also when it answers with an error.
static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  named_tensor inputs[] = {input("no such input", "x")};
  NEED(same(text(compute(context, inputs, 1)), "invalid-argument"));
  if (MISUSE) tensor_type(inputs[0].tensor);
  return "went on";
}
