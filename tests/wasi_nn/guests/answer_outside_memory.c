// Returns an answer that is not there, or not aligned.
#define RETURNED (MISUSE ? (void *)WHERE : (void *)result)
#include "guest.h"

static const char *misuse(void) {
  return "went on";
}
