#include "guest.h"

// 120,000 bytes, where 100,000 are granted.
static const char *misuse(void) {
  static uint8_t words[120000];
  uint32_t context = context_of(model());
  NEED(context);
  for (uint32_t i = 0; i < sizeof words; i++) words[i] = 'x';
  named_tensor inputs[] = {{text("user"), tensor_of((bytes){words, sizeof words})}};
  return compute(context, inputs, 1);
}
