#include "guest.h"

// Names that the package does not declare: paths, the model's file, other spellings, a NUL, nothing.
static const char *misuse(void) {
  static const bytes names[] = {
      {(const uint8_t *)"", 0},
#define NAME(word) {(const uint8_t *)(word), sizeof(word) - 1}
      NAME("other"), NAME("Model"), NAME("MODEL"), NAME(" model"), NAME("model "), NAME("model\n"),
      NAME("model\0"), NAME("model\0x"), NAME("\0model"), NAME("model.gguf"), NAME("./model"),
      NAME("../model"), NAME("/etc/passwd"), NAME("/proc/self/mem"), NAME("/proc/self/fd/3"),
      NAME("file:///etc/passwd"), NAME("https://example.org/model"), NAME("hf:owner/model"),
      NAME("model@latest"), NAME("model/../model"), NAME("model;other"), NAME("mod\xd0\xb5l"),
      NAME("model\xe2\x80\x8b"), NAME("\xef\xbb\xbfmodel"), NAME("*"), NAME("%s%s%n"), NAME("__class__"),
      NAME("0"), NAME("default"),
  };
  for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
    handle_result loaded;
    graph_load_by_name(names[i].data, names[i].size, &loaded);
    if (!loaded.is_error) return "went on";
    const char *code = code_of(loaded.handle);
    if (!same(text(code), "not-found")) return code;
  }
  return "not-found";
}
