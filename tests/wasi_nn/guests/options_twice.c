#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  named_tensor inputs[] = {input("user", "one"), input("options", "{}"), input("options", "{}")};
  return compute(context, inputs, 3);
}
