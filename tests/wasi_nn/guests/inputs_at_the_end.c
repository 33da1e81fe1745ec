#include "guest.h"

static const char *misuse(void) {
  uint32_t context = context_of(model());
  NEED(context && same(text(prompt(context)), "usage"));
  NEED(same(text(rest(context)), "summary"));
  return prompt(context);
}
