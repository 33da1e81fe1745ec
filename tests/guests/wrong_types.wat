;; Has all the names of the world inference-component, and no function behind any of them.
(component
  (import "infwasi:llm/settings@0.1.0" (instance))
  (import "infwasi:llm/engine@0.1.0" (instance))
  (instance)
  (export "infwasi:llm/inference@0.1.0" (instance 2))
)
