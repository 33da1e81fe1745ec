#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  named_tensor inputs[] = {input("no such input", "x")};
  NEED(same(text(compute(context, inputs, 1)), "invalid-argument"));
  uint32_t fresh = context_of(model());
  NEED(fresh && same(text(prompt(fresh)), "usage"));
  return rest(fresh);
}
