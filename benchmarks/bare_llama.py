"""The peer: one answer by the high-level API of llama-cpp-python, checked by nobody.

`python benchmarks/bare_llama.py MODEL CONTEXT THREADS SYSTEM PROMPT`
"""

import sys
from typing import Any

from benchmarks.peer import bare_llama


def main() -> None:
    model, context, threads, system, prompt = sys.argv[1:]
    llama = bare_llama(model, int(context), int(threads))
    messages: list[Any] = [
        {"role": "system", "content": system},
        {"role": "user", "content": prompt},
    ]
    chunks: Any = llama.create_chat_completion(
        messages, stream=True, temperature=0.0, repeat_penalty=1.0, max_tokens=16
    )
    for chunk in chunks:
        sys.stdout.write(chunk["choices"][0]["delta"].get("content", ""))
        sys.stdout.flush()
    print()


if __name__ == "__main__":
    main()
