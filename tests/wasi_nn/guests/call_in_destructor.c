// Calls the host while the host drops the generation, which is allowed.
#define IN_DESTRUCTOR tensor_drop(tensor_of(text("x")));
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
