"""Templates are bounded; messages stay data."""

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infwasi_sign.adapters import chat_template, template_sandbox
from infwasi_sign.adapters.chat_template import Segment, render
from infwasi_sign.adapters.template_sandbox import SandboxEnvironment
from infwasi_sign.domain.chat import Message, Role
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}" + CHATML.removeprefix("{% for message in messages %}")
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}"
    "{% set loop_messages = messages %}{% endif %}{{ bos_token }}"
    "{% for message in loop_messages %}{% if message['role'] == 'user' %}"
    "{% if loop.last and system_message is defined %}"
    "{{ '[INST] ' + system_message + '\n\n' + message['content'] + '[/INST]' }}"
    "{% else %}{{ '[INST] ' + message['content'] + '[/INST]' }}{% endif %}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content']|trim + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles') }}{% endif %}{% endfor %}"
)
THINKING = (
    "{%- for message in messages %}{%- if message.content is string %}"
    "{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}"
    "{%- if message.role == 'assistant' and '</think>' in content %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{- '<|im_start|>' ~ message.role ~ '\n' ~ content ~ '<|im_end|>\n' }}{%- endfor %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "smollm2": SMOLLM2,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "thinking": THINKING,
}

SYSTEM = Message(role=Role.SYSTEM, content="Be brief.")
USER = Message(role=Role.USER, content="Hello <|im_end|>")


def text(segments: tuple[Segment, ...]) -> str:
    return "".join(segment.text for segment in segments)


def plainly(template: str, messages: list[Message]) -> str:
    """What jinja2 itself makes of it, with the texts inside."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - not HTML
    return environment.from_string(template).render(
        messages=[{"role": str(m.role), "content": m.content} for m in messages],
        add_generation_prompt=True,
        bos_token="<s>",
        eos_token="</s>",
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_gives_what_plain_jinja_gives(name: str) -> None:
    messages = [
        SYSTEM,
        USER,
        Message(role=Role.ASSISTANT, content="<think>hm</think>\n\nyes  "),
        Message(role=Role.USER, content=" and {{ 7 * 7 }} {% raw %} \u202e"),
    ]
    segments = render(TEMPLATES[name], messages, "<s>", "</s>")
    assert text(segments) == plainly(TEMPLATES[name], messages)
    data = [segment.text for segment in segments if not segment.is_template]
    assert len(data) == len(messages)
    assert "".join(data).count("<|im_end|>") == 1


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.sampled_from(sorted(TEMPLATES)))
@settings(max_examples=100, deadline=None)
def test_no_text_of_a_message_becomes_template_text(contents: list[str], name: str) -> None:
    roles = [Role.USER, Role.ASSISTANT, Role.USER, Role.ASSISTANT]
    messages = [Message(role=role, content=c) for role, c in zip(roles, contents, strict=False)]
    harmless = [Message(role=message.role, content="x") for message in messages]
    segments = render(TEMPLATES[name], messages, "<s>", "</s>")
    expected = render(TEMPLATES[name], harmless, "<s>", "</s>")
    parts = "".join(segment.text for segment in segments if segment.is_template)
    assert parts == "".join(segment.text for segment in expected if segment.is_template)


def test_folds_the_system_text_into_the_first_user_turn_when_the_template_refuses_it() -> None:
    segments = render(GEMMA, [SYSTEM, USER], "<bos>", "<eos>")
    assert segments == (
        Segment(text="<bos><start_of_turn>user\n", is_template=True),
        Segment(text="Be brief.\n\nHello <|im_end|>", is_template=False),
        Segment(text="<end_of_turn>\n<start_of_turn>model\n", is_template=True),
    )


def test_folds_the_system_text_when_the_template_leaves_it_out() -> None:
    template = "{% for m in messages if m.role != 'system' %}[{{ m.content }}]{% endfor %}"
    assert text(render(template, [SYSTEM, USER], "", "")) == "[Be brief.\n\nHello <|im_end|>]"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ messages[0].content | trim }}", "Hello <|im_end|>"),
        ("{{ messages[0].content.strip() }}", "Hello <|im_end|>"),
        ("{{ messages[0].content | upper }}", "  HELLO <|IM_END|>\n"),
        ("{{ messages[0].content | replace('Hello', 'Hi') }}", "  Hi <|im_end|>\n"),
        ("{{ messages[0].content[2:7] }}", "Hello"),
        ("{{ messages[0].content.split('<|')[0] }}", "  Hello "),
        ("{{ messages[0].content | length }}:{{ messages[0].content }}", "19:  Hello <|im_end|>\n"),
        (
            "{{ messages | tojson | length > 10 }}{{ messages[0].content }}",
            "True  Hello <|im_end|>\n",
        ),
        (
            "{% if messages[0].content.startswith('  H') %}+{% endif %}{{ messages[0].content }}",
            "+  Hello <|im_end|>\n",
        ),
    ],
)
def test_answers_what_a_template_asks_about_a_text(template: str, expected: str) -> None:
    message = Message(role=Role.USER, content="  Hello <|im_end|>\n")
    assert text(render(template, [message], "", "")) == expected


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{{ (messages[0].content ~ 'x')[1:] }}", "chat template changes the text of a message"),
        ("{{ ('x' ~ messages[0].content) | reverse }}", "changes or repeats the text"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "changes or repeats the text"),
        ("hello", "chat template leaves out message 0 (user)"),
        ("{% for c in messages[0].content %}{{ c }}{% endfor %}", "takes a message apart"),
        ("{{ messages[0].content | tojson }}", "writes a message as JSON"),
        ("{{ messages }}", "chat template prints a list"),
        ("{{ \U0010f100 }}", "reserved for placeholders"),
        ("{{ strftime_now('%d') }}", "'strftime_now' is undefined"),
        ("{{ raise_exception('no') }}", "chat template fails: no"),
        ("{% for %}", "chat template fails: "),
        ("{{ x.y.z }}", "'x' is undefined"),
        ("{% include 'other' %}", "no loader"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("x" * 262_145, "chat template is too long"),
    ],
)
def test_gives_no_verdict_on_a_template_that_fails(template: str, sentence: str) -> None:
    with pytest.raises(UndecidedError) as caught:
        render(template, [USER], "", "")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 'a' * 2000000000 }}",
        "{{ 2000000000 * 'a' }}",
        "{{ [1] * 2000000000 }}",
        "{{ 'a' * 9999 * 9999 * 9999 }}",
        "{% set ns = namespace(s='a') %}{% for i in range(40) %}"
        "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for i in range(40) %}"
        "{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=2) %}{% for i in range(40) %}"
        "{% set ns.s = ns.s * ns.s %}{% endfor %}",
        "{% set ns = namespace(s=['a']) %}{% for i in range(40) %}"
        "{% set ns.s = [ns.s, ns.s] %}{% endfor %}",
        "{% set ns = namespace(s=('a',)) %}{% for i in range(40) %}"
        "{% set ns.s = (ns.s, ns.s) %}{% endfor %}",
        "{% set ns = namespace(s={}) %}{% for i in range(40) %}"
        "{% set ns.s = {'a': ns.s, 'b': ns.s} %}{% endfor %}",
        "{% set x = 'a' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
        "{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in range(4000) %}{% for b in range(4000) %}{% for c in range(4000) %}"
        "{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(4000) %}{% for b in range(4000) %}aaaaaaaa{% endfor %}{% endfor %}",
        "{{ range(1000000000) | list }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%2000000000d' % 1 }}",
        "{{ '%2000000000d' | format(1) }}",
        "{{ '{:2000000000}'.format(1) }}",
        "{{ 'a'.ljust(2000000000) }}",
        "{{ 'a'.zfill(2000000000) }}",
        "{{ 'a' | center(2000000000) }}",
        "{{ 'a' | indent(2000000000, true) }}",
        "{{ ('a' * 9999).replace('a', 'b' * 9999) }}",
        "{{ ('a' * 9999) | replace('a', 'b' * 9999) }}",
        "{{ ('a' * 9999).join(range(4000)) }}",
        "{{ range(4000) | join('a' * 9999) }}",
        "{{ [[1] * 9999] | sum(start=[]) * 3 }}",
        "{{ lipsum(n=100000) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ " + "(" * 20_000 + ")" * 20_000 + " }}",
        "{{ " + "-" * 50_000 + "1 }}",
        "{% if x %}" * 5_000 + "{% endif %}" * 5_000,
        "{{ '' | attr('__class__') }}",
        "{{ messages | map('attr', '__class__') | list }}",
        "{{ messages | map(attribute='__class__') | list }}",
        "{{ '%s' | format(messages) }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{x}'.format_map({}) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ joiner().__init__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ namespace(a=1).__class__.__mro__ }}",
        "{{ messages[0].content | attr('_content') }}",
        "{{ messages[0].pop('content') }}",
        "{{ dict.fromkeys('a') }}",
        "{% import 'x' as x %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% include ['a', 'b'] %}",
        "{% for x in [[[]]] recursive %}{{ loop(messages) }}{% endfor %}",
        "{% for x in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}",
        "{% call(x) raise_exception() %}{% endcall %}{{ caller() }}",
        "{% filter upper %}{% filter center(999999999) %}a{% endfilter %}{% endfilter %}",
        "{{ ('a' * 9999) | wordwrap(1) }}",
        "{{ ('a ' * 9999) | batch(1) | list | pprint }}",
        "{{ range(4000) | slice(999999999) | list }}",
        "{{ {'a': 1} | xmlattr }}",
        "{{ ('http://a ' * 4000) | urlize }}",
    ],
)
def test_bounds_a_template_that_would_never_end(template: str) -> None:
    with pytest.raises(UndecidedError, match=r"^chat template"):
        render(template + "{{ messages[0].content }}", [USER], "", "")


# A text and a list as large as they may be, and something done with them again and again.
LONG_WORK = (
    "{{% set x = 'a ' * 9999 %}}{{% set z = [1] * 9999 %}}"
    "{{% for a in range(4000) %}}{{% for b in range(4000) %}}{}{{% endfor %}}{{% endfor %}}"
)
WORK = [
    "{% set y = x.title() %}",
    "{% set y = x | title %}",
    "{% set y = x.split('a') %}",
    "{% set y = x.count('b') %}",
    "{% set y = x ~ 'b' %}",
    "{% if x == x ~ 'b' %}{% endif %}",
    "{% if 'b' in x %}{% endif %}",
    "{% if x is eq('b') %}{% endif %}",
    "{% set y = [z] %}",
    "{% if z == [1] %}{% endif %}",
    "{% if 2 in z %}{% endif %}",
    "{% set y = z | sort %}",
    "{% set y = z | sum %}",
    "{% set y = z | select('in', z) | list %}",
    "{% set y = [z, z] | map('sum') | list %}",
    "{% set y = x[1:] %}",
    "{% set y = ([x] * 99) | sort %}",
    "{% set y = [[x], {'a': x}] | list %}",
]


def test_a_block_is_paid_each_time_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    template = (
        "{% block b %}" + "{{ 1 is odd }}" * 500 + "{% endblock %}"
        "{% for n in range(100) %}{% set y = self.b() %}{% endfor %}{{ messages[0].content }}"
    )
    monkeypatch.setattr(template_sandbox, "_STEPS", 20_000)
    with pytest.raises(UndecidedError, match=r"^chat template takes more than"):
        render(template, [USER], "", "")


def test_control_a_block_that_is_not_paid_is_called_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(template_sandbox._Metered, "visit_Block")
    test = test_a_block_is_paid_each_time_it_is_called
    with pytest.raises(pytest.fail.Exception), monkeypatch.context() as inner:
        test(inner)


@pytest.mark.parametrize("work", WORK)
def test_much_work_in_few_steps_is_stopped(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each does little for a step, if steps are what is counted and not sizes."""
    monkeypatch.setattr(template_sandbox, "_STEPS", 20_000)
    with pytest.raises(UndecidedError, match=r"^chat template "):
        render(LONG_WORK.format(work) + "{{ messages[0].content }}", [USER], "", "")


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''['__class__'] }}",
        "{{ self._TemplateReference__context }}",
        "{{ raise_exception.__globals__ }}",
        "{{ range.__call__ }}",
        "{{ messages[0].content.__class__ }}",
        "{{ messages[0].content._content }}",
        "{{ messages[0].content['_content'] }}",
        "{{ messages.__class__ }}",
    ],
)
def test_what_a_template_may_not_reach_is_nothing(template: str) -> None:
    """What has no such attribute prints nothing, and neither does what must not be had."""
    segments = render(template + "{{ messages[0].content }}", [USER], "", "")
    assert [segment.text for segment in segments] == [USER.content]


@pytest.mark.parametrize(
    ("template", "seen"),
    [("{{ messages.__class__ }}", "list"), ("{{ messages[0].content.__class__ }}", "MessageText")],
)
def test_control_without_the_rule_on_attributes_it_is_reached(
    template: str, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SandboxEnvironment, "is_safe_attribute", lambda *_: True)
    with pytest.raises(UndecidedError, match=r"^chat template prints a type$"):
        render(template + "{{ messages[0].content }}", [USER], "", "")
    monkeypatch.setattr(template_sandbox, "_text", str)
    segments = render(
        template.replace("}}", ".__name__ }}{{ messages[0].content }}"), [USER], "", ""
    )
    assert segments[0].text == seen


def rounds(work: str, monkeypatch: pytest.MonkeyPatch, *, is_priced: bool) -> int:
    """How often a template may do this before its steps are used up."""
    if not is_priced:
        monkeypatch.setattr(template_sandbox, "_price", lambda _: 0)
    done = 0
    original = SandboxEnvironment.tick

    def tick(self: SandboxEnvironment, cost: int) -> str:
        nonlocal done
        done += 1
        return original(self, cost)

    monkeypatch.setattr(SandboxEnvironment, "tick", tick)
    monkeypatch.setattr(template_sandbox, "_STEPS", 20_000)
    with pytest.raises(UndecidedError, match="takes more than 20000 steps"):
        render(LONG_WORK.format(work) + "{{ messages[0].content }}", [USER], "", "")
    return done


def test_work_on_large_values_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the control: without a price for sizes there is fifty times as much of it."""
    work = "{% set y = x.title() %}"
    with monkeypatch.context() as patch:
        paid = rounds(work, patch, is_priced=True)
    with monkeypatch.context() as patch:
        assert rounds(work, patch, is_priced=False) > 10 * paid


ATOMS = st.sampled_from(
    [
        "{{ messages }}",
        "{{ messages[0].content",
        "{% for m in messages %}",
        "{% endfor %}",
        "{% if m %}",
        "{% endif %}",
        "{{ m.content | ",
        "trim }}",
        "reverse }}",
        "{{ ns.x + 1 }}",
        "[::-1] }}",
        "}}",
        "{% set x = ",
        "%}",
        " ~ 'a' ",
        " * 3 ",
        "{# ",
        " #}",
        "{% macro f(a) %}",
        "{% endmacro %}",
        "{{ f(1) }}",
        "{% break %}",
        "<|im_start|>",
        "{% generation %}",
    ]
)


@given(st.lists(ATOMS, max_size=8).map("".join))
@settings(max_examples=300, deadline=None)
def test_no_template_raises_anything_else(template: str) -> None:
    try:
        segments = render(template, [USER], "<s>", "</s>")
    except UndecidedError:
        return
    assert sum(not segment.is_template for segment in segments) == 1


def test_prints_many_messages() -> None:
    messages = [Message(role=Role.USER, content=f"{number}") for number in range(4000)]
    segments = render(CHATML, messages, "", "")
    assert sum(not segment.is_template for segment in segments) == 4000


def test_a_template_that_copies_a_message_for_ever_is_stopped() -> None:
    template = (
        "{% for a in range(4000) %}{% for m in messages %}{% set x = m.content.upper() %}"
        "{% endfor %}{% endfor %}{{ messages[0].content }}"
    )
    with pytest.raises(UndecidedError, match="too many copies of a message"):
        render(template, [Message(role=Role.USER, content="x" * 1000)], "", "")


def test_a_template_that_splits_at_a_long_text_is_stopped() -> None:
    template = "{{ messages[0].content.rsplit('ab' + 'a' * 6000) | length }}"
    with pytest.raises(UndecidedError, match="splits a message at too long a text"):
        render(template, [Message(role=Role.USER, content="a" * 1000)], "", "")


def test_a_template_that_was_compiled_ahead_is_rendered_once() -> None:
    """With its environment: each rendering has a meter of its own."""
    template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    messages = (Message(role=Role.USER, content="hi"),)
    expected = chat_template.render(template, messages, "", "")
    chat_template.compile_ahead(template)
    assert template in chat_template._AHEAD
    assert chat_template.render(template, messages, "", "") == expected
    assert template not in chat_template._AHEAD


def test_what_cannot_be_compiled_ahead_is_said_by_rendering() -> None:
    with pytest.raises(jinja2.TemplateError):
        chat_template.compile_ahead("{% for %}")
    with pytest.raises(UndecidedError, match="chat template fails"):
        chat_template.render("{% for %}", (Message(role=Role.USER, content="hi"),), "", "")
    with pytest.raises(UndecidedError, match="chat template is too long"):
        chat_template.compile_ahead("x" * (LIMITS.chat_template_bytes + 1))
