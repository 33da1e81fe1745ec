#include "guest.h"

// -DRANK, -DDIMENSIONS and -DTYPE say what the two bytes are claimed to be.
static const char *misuse(void) {
  static const uint32_t dimensions[] = {DIMENSIONS};
  uint32_t context = context_of(model());
  NEED(context);
  named_tensor inputs[] = {{text("user"), tensor_new(dimensions, RANK, TYPE, "hi", 2)}};
  return compute(context, inputs, 1);
}
