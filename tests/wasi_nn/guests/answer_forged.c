// Returns a generation that it never made.
#define RETURNED (result[1] = MISUSE ? 4711 : result[1], (void *)result)
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
