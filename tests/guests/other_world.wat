;; Fits the world in no way: imports WASI, exports something else.
(component
  (import "wasi:cli/environment@0.2.0" (instance))
  (import "infwasi:llm/settings@0.1.0" (instance))
  (instance)
  (export "infwasi:llm/engine@0.1.0" (instance 2))
  (export "other" (instance 2))
)
