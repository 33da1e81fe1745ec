// A guest for tests of the host: the first letter of the prompt says what it does, the rest is data.
#include <stdint.h>
#define IMPORT(m, n) __attribute__((import_module(m), import_name(n)))
#define EXPORT(n) __attribute__((export_name(n)))
#define NN(i) "wasi:nn/" i "@0.2.0-rc-2024-10-28"
#define IF "infwasi:llm/inference@0.1.0"
typedef uint8_t u8;
typedef uint32_t u32;
typedef struct { u8 *p; u32 n; } str;
typedef struct { str name; u32 tensor; } named;
typedef struct { u32 err, val; } res_handle;
typedef struct { u32 err; union { struct { named *p; u32 n; } ok; u32 e; } u; } res_list;

IMPORT(NN("tensor"), "[constructor]tensor") u32 t_new(u32 *d, u32 nd, u32 ty, const u8 *p, u32 n);
IMPORT(NN("tensor"), "[method]tensor.data") void t_data(u32 self, str *out);
IMPORT(NN("tensor"), "[method]tensor.dimensions") void t_dims(u32 self, str *out);
IMPORT(NN("tensor"), "[method]tensor.ty") u32 t_ty(u32 self);
IMPORT(NN("tensor"), "[resource-drop]tensor") void t_drop(u32 h);
IMPORT(NN("errors"), "[method]error.code") u32 e_code(u32 self);
IMPORT(NN("errors"), "[method]error.data") void e_data(u32 self, str *out);
IMPORT(NN("errors"), "[resource-drop]error") void e_drop(u32 h);
IMPORT(NN("graph"), "load") void g_load(str *b, u32 n, u32 enc, u32 target, res_handle *out);
IMPORT(NN("graph"), "load-by-name") void g_name(const u8 *p, u32 n, res_handle *out);
IMPORT(NN("graph"), "[method]graph.init-execution-context") void g_init(u32 g, res_handle *out);
IMPORT(NN("graph"), "[resource-drop]graph") void g_drop(u32 h);
IMPORT(NN("inference"), "[method]graph-execution-context.compute") void c_run(u32 c, named *p, u32 n, res_list *out);
IMPORT(NN("inference"), "[resource-drop]graph-execution-context") void c_drop(u32 h);
IMPORT("[export]" IF, "[resource-new]generation") u32 gen_new(u32 rep);

static u8 heap[1 << 20] __attribute__((aligned(16)));
static u32 top, graph, context, reason, usage_in, usage_out;
static u32 out[8];

EXPORT("cabi_realloc") void *realloc_(void *old, u32 was, u32 align, u32 size) {
  u32 at = (top + align - 1) & ~(align - 1);
  if (size > sizeof heap || at > sizeof heap - size) __builtin_trap();
  top = at + size;
  for (u32 i = 0; i < was && i < size; i++) heap[at + i] = ((u8 *)old)[i];
  return heap + at;
}

static str lit(const char *s) { str r = {(u8 *)s, 0}; while (s[r.n]) r.n++; return r; }
static u32 *fail(u32 kind, str m) { out[0] = 1; out[1] = kind; out[2] = (u32)m.p; out[3] = m.n; return out; }
static u32 *fail_nn(u32 h) {  // error codes to failure cases
  static const u8 kinds[9] = {0, 0, 3, 6, 5, 2, 1, 4, 6};
  u32 code = e_code(h); str m; e_data(h, &m); e_drop(h);
  return fail(kinds[code], m);
}
static named input(const char *name, str data) {
  u32 d[1] = {data.n};
  return (named){lit(name), t_new(d, 1, 4, data.p, data.n)};
}
static u32 *begin(str name, named *in, u32 n) {
  res_handle h; g_name(name.p, name.n, &h);
  if ((u8)h.err) return fail_nn(h.val);
  graph = h.val; g_init(graph, &h);
  if ((u8)h.err) return fail_nn(h.val);
  context = h.val;
  res_list r; c_run(context, in, n, &r);
  if ((u8)r.err) return fail_nn(r.u.e);
  if (r.u.ok.n != 1 || t_ty(r.u.ok.p[0].tensor) != 5) __builtin_trap();
  t_drop(r.u.ok.p[0].tensor);
  out[0] = 0; out[1] = gen_new(1);
  return out;
}
static u32 *step(void) {
  res_list r; c_run(context, 0, 0, &r);
  if ((u8)r.err) return fail_nn(r.u.e);
  named *o = r.u.ok.p; str s; t_data(o->tensor, &s); t_drop(o->tensor);
  out[0] = 0;
  if (o->name.n == 6) { out[1] = 1; out[2] = (u32)s.p; out[3] = s.n; return out; }
  u32 *q = (u32 *)s.p; reason = q[0]; usage_in = q[1]; usage_out = q[2];
  out[1] = 0;
  return out;
}

EXPORT(IF "#start") u32 *start(u32 some, u8 *p, u32 n) {
  if (!some || !n) { str none = lit("hello"); named in[1] = {input("user", none)}; return begin(lit("model"), in, 1); }
  str rest = {p + 1, n - 1}; res_handle h; res_list r;
  switch (p[0]) {
    case 's': { named in[1] = {input("user", rest)}; return begin(lit("model"), in, 1); }
    case 'a': { named in[4] = {input("system", lit("be brief")), input("prompt", rest), input("assistant", lit("ok")),
                               input("options", lit("{\"n-predict\":3,\"temp\":0.5,\"stop\":[\"END\"],\"seed\":7}"))};
                return begin(lit("model"), in, 4); }
    case 'o': { named in[2] = {input("options", rest), input("user", lit("hi"))}; return begin(lit("model"), in, 2); }
    case 'O': { named in[3] = {input("options", lit("{}")), input("options", lit("{}")), input("user", lit("hi"))};
                return begin(lit("model"), in, 3); }
    case 'r': { named in[1] = {input("tool", rest)}; return begin(lit("model"), in, 1); }
    case 'N': return begin(lit("model"), 0, 0);
    case 'n': { named in[1] = {input("user", lit("hi"))}; return begin(rest, in, 1); }
    case 'y': { u32 d[1] = {3}; named in[1] = {{lit("user"), t_new(d, 1, 1, (u8 *)"hi", 2)}}; return begin(lit("model"), in, 1); }
    case 'D': { u32 d[1] = {3}; named in[1] = {{lit("user"), t_new(d, 1, 4, (u8 *)"hi", 2)}}; return begin(lit("model"), in, 1); }
    case 'u': { named in[1] = {input("user", (str){(u8 *)"\xff\xfe", 2})}; return begin(lit("model"), in, 1); }
    case 'b': { g_load(&rest, 1, 5, 0, &h); return (u8)h.err ? fail_nn(h.val) : fail(6, lit("loaded")); }
    case 'i': { named in[1] = {input("user", rest)}; begin(lit("model"), in, 1);
                in[0] = input("user", rest); c_run(context, in, 1, &r);
                return (u8)r.err ? fail_nn(r.u.e) : fail(6, lit("accepted")); }
    case 'm': { named in[1] = {input("user", rest)}; begin(lit("model"), in, 1); t_ty(in[0].tensor); break; }
    case 'f': t_ty(4711); break;
    case 'w': { named in = input("user", rest); g_init(in.tensor, &h); break; }
    case 'd': { named in = input("user", rest); t_drop(in.tensor); t_drop(in.tensor); break; }
    case 'h': for (;;) input("user", rest);
    case 'H': for (u32 i = 0; i < 100000; i++) { named in = input("user", rest); t_drop(in.tensor); } return fail(6, lit("done"));
    case 'k': for (u32 i = 0; i < 5000; i++) { str none = lit("x"); named in[1] = {input("user", none)}; top = 4096; begin(lit("model"), in, 1); } break;
    case '2': { named in[1] = {input("user", rest)}; begin(lit("model"), in, 1); in[0] = input("user", rest);
                g_init(graph, &h); c_run(h.val, in, 1, &r);
                return (u8)r.err ? fail_nn(r.u.e) : fail(6, lit("two at once")); }
    case 'q': { named in[1] = {input("user", rest)}; begin(lit("model"), in, 1); do step(); while (out[1]); c_drop(context);
                in[0] = input("user", rest); return begin(lit("model"), in, 1); }
    case 'Q': for (;;) { named in[1] = {input("user", rest)}; top = 4096; if (begin(lit("model"), in, 1)[0]) return out;
                         do step(); while (out[1]); c_drop(context); }
    case 'z': { named in[1] = {input("user", rest)}; begin(lit("model"), in, 1); do step(); while (out[1]);
                c_run(context, 0, 0, &r); str s; t_data(r.u.ok.p[0].tensor, &s); out[0] = 0; out[1] = gen_new(1); return out; }
    case 'B': { str big = {heap, 400000}; top = 500000; named in[1] = {input("user", big)}; return begin(lit("model"), in, 1); }
    case 'e': return fail(n > 1 ? p[1] - '0' : 6, lit("the guest says no\nreally"));
    case 'l': for (volatile u32 i = 0;; i++) {}
    case 'g': while (__builtin_wasm_memory_grow(0, 16) != (unsigned long)-1) {} return fail(6, lit("no more memory"));
  }
  __builtin_trap();
}
EXPORT("cabi_post_" IF "#start") void start_post(u32 *r) { top = 0; }
EXPORT(IF "#[method]generation.next") u32 *next(u32 self) { return step(); }
EXPORT("cabi_post_" IF "#[method]generation.next") void next_post(u32 *r) { top = 0; }
EXPORT(IF "#[method]generation.summary") u32 *summary(u32 self) { out[0] = reason; out[1] = usage_in; out[2] = usage_out; return out; }
EXPORT(IF "#[dtor]generation") void dtor(u32 self) { if (context) c_drop(context); if (graph) g_drop(graph); context = graph = 0; }
EXPORT(IF "#compute") u32 *compute(u32 some, u8 *p, u32 n) { return fail(5, lit("stream instead")); }
