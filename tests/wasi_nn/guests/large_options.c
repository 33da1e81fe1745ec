#include "guest.h"

// {"stop":["xxx…"]} of 200,000 bytes
static const char *misuse(void) {
  static uint8_t json[200000];
  uint32_t context = context_of(model());
  NEED(context);
  for (uint32_t i = 0; i < sizeof json; i++) json[i] = 'x';
  bytes head = text("{\"stop\":[\""), tail = text("\"]}");
  for (uint32_t i = 0; i < head.size; i++) json[i] = head.data[i];
  for (uint32_t i = 0; i < tail.size; i++) json[sizeof json - tail.size + i] = tail.data[i];
  named_tensor inputs[] = {input("user", "one"), {text("options"), tensor_of((bytes){json, sizeof json})}};
  return compute(context, inputs, 2);
}
