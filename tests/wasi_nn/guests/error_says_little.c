#include "guest.h"

// What an error says to the guest names nothing of the host: no path.
static const char *misuse(void) {
  handle_result loaded;
  bytes sentence;
  graph_load_by_name("no such model", 13, &loaded);
  NEED(loaded.is_error);
  error_data(loaded.handle, &sentence);
  for (uint32_t i = 0; i < sentence.size; i++) {
    if (sentence.data[i] == '/') return "names a path";
  }
  return code_of(loaded.handle);
}
