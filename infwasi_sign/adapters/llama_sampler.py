"""How llama.cpp chooses the next token: its samplers, in a fixed order."""

from typing import Any, Final

from infwasi_sign.domain.chat import GenerationOptions

_PENALTY_TOKENS: Final = 64  # llama.cpp's default repeat_last_n
_MIN_KEEP: Final = 1


def sampler(llama: Any, options: GenerationOptions, size: int, prompt: list[int]) -> int:
    """The chain: penalties, top-k, top-p, min-p, temperature, then chance or the best token."""
    chain: int = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())

    def add(link: int) -> None:
        llama.llama_sampler_chain_add(chain, link)

    if options.repeat_penalty != 1.0:
        add(
            llama.llama_sampler_init_penalties(
                size, _PENALTY_TOKENS, options.repeat_penalty, 0.0, 0.0
            )
        )
    if options.temperature == 0.0:
        add(llama.llama_sampler_init_greedy())
    else:
        if options.top_k > 0:
            add(llama.llama_sampler_init_top_k(options.top_k))
        if options.top_p < 1.0:
            add(llama.llama_sampler_init_top_p(options.top_p, _MIN_KEEP))
        if options.min_p > 0.0:
            add(llama.llama_sampler_init_min_p(options.min_p, _MIN_KEEP))
        add(llama.llama_sampler_init_temp(options.temperature))
        add(llama.llama_sampler_init_dist(options.seed))
    if options.repeat_penalty != 1.0:
        for token in prompt[-_PENALTY_TOKENS:]:
            llama.llama_sampler_accept(chain, token)
    return chain
