// One live handle of the kind that -DKIND names (0 tensor, 1 graph, 2 context, 3 error), and what
// uses and drops a handle of this kind.
#include "guest.h"

static uint32_t some_handle(void) {
  handle_result loaded;
  switch (KIND) {
  case 0: return tensor_of(text("x"));
  case 1: return model();
  case 2: return context_of(model());
  default: graph_load_by_name("no such model", 13, &loaded); return loaded.is_error ? loaded.handle : 0;
  }
}

static void use(uint32_t handle) {
  handle_result result;
  outputs_result outputs;
  switch (KIND) {
  case 0: tensor_type(handle); break;
  case 1: graph_init(handle, &result); break;
  case 2: context_compute(handle, 0, 0, &outputs); break;
  default: error_code(handle);
  }
}

static void drop(uint32_t handle) {
  switch (KIND) {
  case 0: tensor_drop(handle); break;
  case 1: graph_drop(handle); break;
  case 2: context_drop(handle); break;
  default: error_drop(handle);
  }
}
