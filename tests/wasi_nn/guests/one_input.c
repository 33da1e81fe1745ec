#include "guest.h"

// One prompt and -DNAME with -DCONTENT.
static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context);
  named_tensor inputs[] = {input("user", "one two three"), {{(const uint8_t *)NAME, sizeof(NAME) - 1}, tensor_of((bytes){(const uint8_t *)CONTENT, sizeof(CONTENT) - 1})}};
  return compute(context, inputs, 2);
}
