"""Chat templates in the style of published models, and hostile ones with what is found in them."""

from tests.test_chat_template import GEMMA, TEMPLATES

LLAMA31 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n"}}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {%- for arg_name, arg_val in tool_call.arguments | items %}
            {{- arg_name + '="' + arg_val + '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools>\\n<tool_call>\\n{\\"name\\": <function-name>}\\n</tool_call><|im_end|>\\n" }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and
        not(message.content.startswith('<tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n')
                .split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') }}
        {%- endif %}
        {{- content }}
        {%- for tool_call in message.tool_calls %}
            {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
            {{- '<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
            {%- if tool_call.arguments is string %}{{- tool_call.arguments }}
            {%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- content }}{{- '\\n</tool_response>' }}
    {%- endif %}
{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}
    {{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
"""

NEMO = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS][" }}
            {%- for tool in tools %}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}
                    {%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}
                {%- endfor %}
            {%- endfor %}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]" + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]" + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- message["content"] + eos_token}}
    {%- endif %}
{%- endfor %}
"""

TYPED_TOOLS = """{% macro render_parameters(tool) %}
    {%- for name, value in tool.parameters.properties | dictsort %}
        {{- name }}: {{ value.type | default('any') | upper }}{{ ', ' if not loop.last else '' }}
    {%- endfor %}
{% endmacro %}
{%- for tool in tools or [] %}{{ render_parameters(tool) }}{%- endfor %}
{%- for i in range(messages | length) %}
    {%- set message = messages[i] %}
    {#- What is in a comment {{ x.__class__ }} is no code. -#}
    {% raw %}{{ nor.__class__ }}{% endraw %}
    {{- '=' * 20 ~ message['content'] }}
    {%- if i == (messages | length) - 1 %}{% break %}{% endif %}
{%- endfor %}
"""

STOCK = {
    **TEMPLATES,
    "gemma": GEMMA,
    "llama3.1": LLAMA31,
    "qwen3": QWEN3,
    "nemo": NEMO,
    "typed-tools": TYPED_TOOLS,
}

HOSTILE: dict[str, tuple[str, ...]] = {
    # attributes, in every way to write them
    "{{ ''.__class__.__mro__ }}": ("attribute:__class__", "attribute:__mro__"),
    "{{ ''['__class__'] }}": ("attribute:__class__",),
    "{{ ''['\\x5f_class__'] }}": ("attribute:__class__",),
    "{{ ''['\\N{LOW LINE}_class__'] }}": ("syntax",),
    "{{ x['_content'] }}": ("attribute:_content",),
    "{{ x._content }}": ("attribute:_content",),
    "{{ x['mro'] }}": ("attribute:mro",),
    "{{ x['m' 'ro'] }}": ("attribute:mro",),
    "{{ x['_' '_class_' '_'] }}": ("attribute:__class__",),
    "{{ x['\\137\\137class\\u005f_'] }}": ("attribute:__class__",),
    "{% set ns.k = x ~ y %}{{ x[ns['k']] }}": ("subscript:computed",),
    "{% set d = {'k': x ~ y} %}{{ x[d.k] }}": ("subscript:computed",),
    "{% set k = x ~ y %}{{ x | sort(false, false, k) }}": ("attribute:computed",),
    "{{ x | map(*['attr', 'a']) | list }}": ("filter:computed",),
    "{{ x.gi_frame.f_globals }}": ("attribute:f_globals", "attribute:gi_frame"),
    "{{ ''['_' ~ '_class_' ~ '_'] }}": (
        "attribute:_class_",
        "subscript:computed",
        "text:underscore",
    ),
    "{{ ''['_' + '_class_' + '_'] }}": (
        "attribute:_class_",
        "subscript:computed",
        "text:underscore",
    ),
    "{{ ''['cla' ~ 'ss'] }}": ("subscript:computed",),
    "{{ ''[('_' * 2) ~ 'class'] }}": ("subscript:computed", "text:underscore"),
    "{{ ''[['_', '_class'] | join] }}": (
        "attribute:_class",
        "subscript:computed",
        "text:underscore",
    ),
    "{{ ''['XXclassXX' | replace('X', 'a_b'[1])] }}": ("subscript:computed",),
    "{{ ''['ssalc' | reverse] }}": ("subscript:computed",),
    "{{ ''['%cclass' % 95] }}": ("format", "subscript:computed"),
    "{{ ''['a'.join(['b'])] }}": ("subscript:computed",),
    "{% set u = 'a_b'[1] %}{{ x[u] }}": ("subscript:computed",),
    "{% set u = 'a_b'[1] %}{% set k = u ~ 'c' %}{{ x[k] }}": ("subscript:computed",),
    "{% set k %}a{% endset %}{{ x[k] }}": ("subscript:computed",),
    "{% set ns = namespace() %}{% set ns.k = x ~ y %}{{ x[ns.k] }}": ("subscript:computed",),
    "{% for u in 'ab' %}{{ x[u] }}{% endfor %}": ("subscript:computed",),
    "{{ x[y[z ~ 1]:] }}": ("subscript:computed",),
    "{{ '' | attr('a') }}": ("filter:attr",),
    "{{ x | map('attr', 'a') | list }}": ("filter:attr",),
    "{{ x | map(attribute='__class__') | list }}": ("attribute:__class__",),
    "{{ x | map(attribute='a' ~ 'b') | list }}": ("attribute:computed",),
    "{{ x | map(attribute=y) | list }}": ("attribute:computed",),
    "{{ x | map(y) | list }}": ("filter:computed",),
    "{{ x | selectattr(y) | list }}": ("attribute:computed",),
    "{{ x | select('weird') | list }}": ("test:unknown:weird",),
    "{{ x is weird }}": ("test:unknown:weird",),
    # statements that bring in other files
    "{% include 'a' %}": ("tag:include",),
    "{% import 'a' as b %}": ("tag:import",),
    "{% from 'a' import b %}": ("tag:from",),
    "{%- extends 'a' -%}": ("tag:extends",),
    "{% generation %}{% endgeneration %}": (
        "tag:unknown:endgeneration",
        "tag:unknown:generation",
    ),
    "{% do x.append(1) %}": ("call:unknown:append", "tag:unknown:do"),
    # names and calls
    "{{ self.b() }}": ("call:unknown:b", "name:self"),
    "{{ lipsum(n=100000) }}": ("call:unknown:lipsum", "name:lipsum"),
    "{{ cycler }}": ("name:cycler",),
    "{{ joiner() }}": ("call:unknown:joiner", "name:joiner"),
    "{{ __import__('os') }}": ("call:unknown:__import__", "name:__import__"),
    "{% set r = range %}{{ r(1000000000) }}": ("call:unknown:r", "name:range"),
    "{% set range = x %}": ("name:range",),
    "{% macro m(range) %}{% endmacro %}": ("name:range",),
    "{{ x[0](1) }}": ("call:computed",),
    "{{ (range)(1) }}": ("call:computed", "name:range"),
    "{{ 'a'.ljust(9) }}": ("call:unknown:ljust",),
    "{{ strftime_now('%d') }}": ("call:unknown:strftime_now",),
    "{{ caller() }}": ("call:unknown:caller",),
    "{{ x['__\\x1b\\u202e'] }}": ("attribute:__\\x1b\\u202e",),
    "{{ x.y('') }}{{ '\u202e' }}": ("call:unknown:y", "text:misleading"),
    "{{ \u00e9 }}": ("syntax",),
    # formatting
    "{{ '{0}'.format(x) }}": ("format",),
    "{{ '{0}'.format_map(x) }}": ("format",),
    "{% set f = '{0}'.format %}": ("format",),
    "{{ '%s' | format(x) }}": ("filter:format",),
    "{{ '%9999d' % 1 }}": ("format",),
    "{{ ('%9999' ~ 'd') % 1 }}": ("format",),
    "{% set f = '%9999d' %}{{ f % 1 }}": ("format",),
    "{% macro m(f) %}{{ f % 1 }}{% endmacro %}{{ m('%9999d') }}": ("format",),
    "{% macro m(f) %}{{ f % 1 }}{% endmacro %}{{ m('%*d') }}": ("format",),
    # what grows or does not end
    "{{ 'a' * 2000000000 }}": ("repeat:large",),
    "{{ 2000000000 * 'a' }}": ("repeat:large",),
    "{{ 'a' * 99 * 99 * 99 }}": ("repeat:large",),
    "{{ 'a' * 0xFFFFFF }}": ("repeat:large",),
    "{{ 'a' * 1_000_000 }}": ("repeat:large",),
    "{{ 'a' * x }}": ("repeat:unbounded",),
    "{% macro m(s, n) %}{{ s * n }}{% endmacro %}{{ m('a', 999999999) }}": ("repeat:unbounded",),
    "{% set ns.s = 'a' %}{{ ns['s'] * ns.n }}": ("repeat:unbounded",),
    "{% set a = 'a' %}{{ a * b }}": ("repeat:unbounded",),
    "{{ [1] * 9 }}": ("repeat:list",),
    "{{ 9 * [1] }}": ("repeat:list",),
    "{{ (1, 2) * 9 }}": ("repeat:list",),
    "{{ 9 ** 9 }}": ("power",),
    "{{ 'a' | center(2000000000) }}": ("filter:center",),
    "{{ 'a' | indent(2000000000) }}": ("filter:indent",),
    "{% filter center(9) %}a{% endfilter %}": ("filter:center",),
    "{% for x in range(1000000000) %}{% endfor %}": ("loop:large", "range:unbounded"),
    "{% for x in range(n) %}{% endfor %}": ("range:unbounded",),
    "{% set n = 5 %}{% set n = 9999999 %}{{ range(n) }}": ("range:unbounded",),
    "{% set ns = namespace(n=9999999) %}{% set ns.n = ns.n + 1 %}{{ range(ns.n) }}": (
        "range:unbounded",
    ),
    "{{ range(x | length * 9999) }}": ("range:unbounded", "repeat:large"),
    "{{ range(x | length + y) }}": ("range:unbounded",),
    "{% for a in range(4000) %}{% for b in range(4000) %}{% endfor %}{% endfor %}": ("loop:large",),
    "{% macro m() %}{% for a in range(4000) %}{% endfor %}{% endmacro %}"
    "{% for b in range(4000) %}{{ m() }}{% endfor %}": ("loop:large",),
    "{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}": ("loop:nested",),
    "{% for x in y recursive %}{% endfor %}": ("loop:recursive",),
    "{{ loop(x) }}": ("loop:recursive",),
    "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(60) }}": ("macro:recursive",),
    "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}": (
        "macro:recursive",
    ),
    "{% macro f0() %}a{% endmacro %}"
    + "".join(
        f"{{% macro f{n + 1}() %}}{{{{ f{n}() }}}}{{{{ f{n}() }}}}{{% endmacro %}}"
        for n in range(30)
    ): ("loop:large",),
    "{% macro d(x) %}{{ x }}{{ x }}{% endmacro %}{% set s = d(s) %}": ("grow:macro",),
    "{% macro d(x) %}{{ x }}{{ x }}{% endmacro %}{{ " + "d(" * 20 + "'a'" + ")" * 20 + " }}": (
        "macro:nested",
    ),
    "{% set ns.s = ns.s ~ ns.s %}": ("grow:double",),
    "{% set ns.s = ns.s + 'x' + ns.s %}": ("grow:double",),
    "{% set s = [s, s] %}": ("grow:double",),
    "{% set ns.s = ns.s | replace('a', 'aa') %}": ("grow:filter",),
    "{% set ns.s = ns.s.replace(x, y) %}": ("grow:filter",),
    "{% set ns.s = ns.s | trim | tojson %}": ("grow:filter",),
    "{% set ns.s = 'abc'.join(ns.s) %}": ("grow:filter",),
    "{% set s = {'a': s, 'b': s} %}": ("grow:double",),
    "{% set t = s %}{% set s = s ~ t %}": ("grow:double",),
    "{% set a = a ~ b %}{% set b = b ~ a %}": ("grow:double",),
    "{% set a = a ~ b %}{% set b = c %}{% set c = d %}{% set d = a %}": ("grow:double",),
    "{% set a = b ~ c %}{% set b = a %}{% set c = a %}": ("grow:double",),
    "{% set a = [a] %}{% for b in a %}{% set a = a + [b] %}{% endfor %}": ("grow:double",),
    "{% set x %}{{ x }}{{ x }}{% endset %}": ("grow:double",),
    # what cannot be read, or is written to mislead
    "{{ (((((": ("syntax",),
    "{# a": ("syntax",),
    "{% raw %}{%\u00a0endraw\x1c%}{{ x.__class__ }}{% endraw %}": (
        "attribute:__class__",
        "tag:unknown:endraw",
    ),
    "{% raw %}a": ("syntax",),
    "{{ x.__class__ }}{{ '": ("attribute:__class__", "syntax"),
    "{{ '\\x5' }}": ("syntax",),
    "{{ " + "(" * 70 + ")" * 70 + " }}": ("nesting:deep",),
    "{{ " + "-" * 70 + "1 }}": ("nesting:deep",),
    "{% if x %}" * 70 + "{% endif %}" * 70: ("nesting:deep",),
    "{{ " + "1 + " * 4000 + "1 }}": ("expression:long",),
    "a\u202eb": ("text:misleading",),
    "a\U0010f100b": ("text:reserved",),
}
"""Templates and all that is found in them."""
