"""Qwen 1 with tools: ReAct in plain text inside ChatML (QwenLM/Qwen openai_api.py; Yao et al. 2022, arXiv 2210.03629).

The tools and the rules stand in front of one question: of the last exchange that is over, or of the only question. A
call, its result and what follows share one assistant turn: Thought, Action, Action Input, Observation, Thought, ...,
Final Answer. Contents lose line ends in front and white space behind. A call ends with the text "Observation:", no
token does. All of it is plain text: contents that hold these words are not told apart from them, not even by ids.
"""

import json
import re
from collections.abc import Sequence

from stemma.errors import StemmaError
from stemma.tokenizer.chat_formats.chatml import DEFAULT_SYSTEM, END, START, ends_as_prompt, turns
from stemma.tokenizer.chat_formats.format import BuiltinTemplate, Reader
from stemma.tokenizer.messages import Dialogue, Message, Tool, tool_call

_HEAD = "Answer the following questions as best you can. You have access to the following APIs:\n\n"
_RULES = """

Use the following format:

Question: the input question you must answer
Thought: you should always think about what to do
Action: the action to take, should be one of ["""
_FOOT = """]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!

Question: """
_FINAL = "I now know the final answer.\nFinal Answer: "

# `place` is the question that carries the tools; `opens` that an assistant turn begins here.
_SOURCE = """\
{%- if messages[0]['role'] == 'system' -%}
{%- set system = messages[0]['content'].lstrip('\\n').rstrip() -%}
{%- else -%}
{%- set system = 'You are a helpful assistant.' -%}
{%- endif -%}
{{- '<|im_start|>system\\n' -}}{{- text_start -}}{{- system + '<|im_end|>' -}}
{%- set turn = namespace(questions=0, asked=0, place=0) -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{%- set turn.questions = turn.questions + 1 -%}{%- endif -%}
{%- endfor -%}
{%- set learns = messages[-1]['role'] == 'assistant' and not add_generation_prompt -%}
{%- set asks = (messages[:-1] if learns else messages)[-1]['role'] == 'user' -%}
{%- set turn.place = turn.questions - 1 if asks and turn.questions > 1 else turn.questions -%}
{%- for message in messages -%}
{%- set content = message['content'].lstrip('\\n').rstrip() -%}
{%- set opens = loop.index0 > 0 and messages[loop.index0 - 1]['role'] == 'user' -%}
{%- if message['role'] == 'user' -%}
{%- set turn.asked = turn.asked + 1 -%}
{{- '\\n<|im_start|>user\\n' -}}{{- text_start -}}
{%- if tools and turn.asked == turn.place -%}
{{- 'HEAD' -}}
{%- for tool in tools -%}
{%- set function = tool['function'] -%}
{{- function['name'] + ': Call this tool to interact with the ' + function['name'] + ' API. What is the ' -}}
{{- function['name'] + ' API useful for? ' + (function['description'] or '') + ' Parameters: ' -}}
{{- (function['parameters'] or {}) | tojson -}}
{%- if not loop.last -%}{{- '\\n\\n' -}}{%- endif -%}
{%- endfor -%}
{{- 'RULES' -}}
{%- for tool in tools -%}{{- tool['function']['name'] -}}{%- if not loop.last -%}{{- ', ' -}}{%- endif -%}{%- endfor -%}
{{- 'FOOT' -}}
{%- endif -%}
{{- content + '<|im_end|>' -}}
{%- elif message['role'] == 'assistant' -%}
{%- if message['tool_calls'] and (message['tool_calls'] | length > 1 or not tools) -%}
{{- raise_exception('the qwen_react chat format makes one call at a time, and only of tools it is given') -}}
{%- endif -%}
{%- if opens -%}{{- '\\n<|im_start|>assistant\\n' -}}{%- endif -%}
{%- if loop.last and learns -%}
{%- if not opens -%}{{- '\\nThought:' -}}{%- endif -%}
{%- generation -%}
{%- if opens -%}{{- text_start -}}{%- endif -%}
{%- if opens and tools -%}{{- 'Thought:' -}}{%- endif -%}
STEP
{%- if message['tool_calls'] -%}{{- '\\nObservation:' -}}{%- else -%}{{- '<|im_end|>' -}}{%- endif -%}
{%- endgeneration -%}
{%- else -%}
{%- if opens -%}{{- text_start -}}{%- else -%}{{- '\\n' -}}{%- endif -%}
{%- if tools -%}{{- 'Thought:' -}}{%- endif -%}
STEP
{%- if loop.last or messages[loop.index0 + 1]['role'] != 'tool' -%}{{- '<|im_end|>' -}}{%- endif -%}
{%- endif -%}
{%- elif message['role'] == 'tool' -%}
{%- if opens or messages[loop.index0 - 1]['role'] == 'tool' or not tools -%}
{{- raise_exception('the qwen_react chat format has one result for each call, and only of tools it is given') -}}
{%- endif -%}
{{- '\\nObservation: ' + content -}}
{%- if loop.last and add_generation_prompt -%}{{- '\\nThought:' -}}
{%- elif loop.last or messages[loop.index0 + 1]['role'] == 'user' -%}{{- '<|im_end|>' -}}
{%- endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages[-1]['role'] != 'tool' -%}
{{- '\\n<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
_STEP = """\
{%- if message['tool_calls'] -%}
{%- set function = message['tool_calls'][0]['function'] -%}
{{- (content[8:] if content.startswith('Thought:') else ' ' + content) + '\\nAction: ' + function['name'] + '\\nAction Input: ' -}}
{{- function['arguments'] | tojson -}}
{%- elif tools -%}
{{- ' FINAL' + content -}}
{%- else -%}
{{- content -}}
{%- endif -%}
"""

_TOOL = re.compile(
    r"(?P<name>.+): Call this tool to interact with the (?P=name) API\. What is the (?P=name) API useful for\? "
    r"(?P<description>.*?) Parameters: (?P<parameters>\{.*?\})(?:\n\n(?=.+: Call this tool to interact)|\Z)",
    re.DOTALL,
)
_CALL = re.compile(r"(?P<thought>.*?)\nAction:(?P<name>[^\n]*)\nAction Input:(?P<arguments>.*)", re.DOTALL)


def _read(reader: Reader) -> Dialogue:
    closed, open_turn = _turns(reader)
    messages: list[Message] = []
    tools: list[Tool] = []
    for role, text in closed:
        if role == "user":
            text, found = _split_tools(text, reader)
            tools = tools or found
            messages.append({"role": "user", "content": text})
        elif role == "assistant":
            messages += _steps(text)
        elif text != DEFAULT_SYSTEM:
            messages.append({"role": "system", "content": text})
    if open_turn is None or not open_turn[1]:
        return Dialogue(
            messages=messages, tools=tools, add_generation_prompt=ends_as_prompt(reader, open_turn)
        )
    steps = open_turn[1]
    prompt = steps.endswith("\nThought:")
    messages += _steps(steps.removesuffix("\nThought:" if prompt else "\nObservation:"))
    return Dialogue(messages=messages, tools=tools, add_generation_prompt=prompt)


def _turns(reader: Reader) -> tuple[list[tuple[str, str]], tuple[str, str] | None]:
    closed, open_turn = turns(reader)
    if open_turn is not None and open_turn[1] and not open_turn[1].endswith(("\nThought:", "\nObservation:")):
        raise reader.error("it ends inside a turn")
    return closed, open_turn


def _split_tools(text: str, reader: Reader) -> tuple[str, list[Tool]]:
    """The question and the tools in front of it."""
    if not text.startswith(_HEAD) or _RULES not in text or _FOOT not in text:
        return text, []
    described, _, rest = text[len(_HEAD) :].partition(_RULES)
    question = rest.partition(_FOOT)[2]
    tools: list[Tool] = []
    for found in _TOOL.finditer(described):
        try:
            parameters = json.loads(found["parameters"])
        except (ValueError, RecursionError):
            raise reader.error(f"the parameters of {found['name']} are no JSON") from None
        function = {
            "name": found["name"],
            "description": found["description"],
            "parameters": parameters,
        }
        tools.append({"type": "function", "function": function})
    return question, tools


def _steps(text: str) -> list[Message]:
    """The messages one assistant turn holds: calls, their results, the answer."""
    before, *steps = re.split(r"(?:^|\n)Thought: ", text)
    messages: list[Message] = [{"role": "assistant", "content": before}] if before or not steps else []
    for step in steps:
        said, observed, result = step.partition("\nObservation: ")
        messages.append(_said(said))
        if observed:
            messages.append({"role": "tool", "content": result})
    return messages


def _said(step: str) -> Message:
    if found := _CALL.fullmatch(step):
        call = tool_call(found["name"].strip(), _arguments(found["arguments"]), "answer, Action Input")
        return {"role": "assistant", "content": found["thought"], "tool_calls": [call]}
    return {"role": "assistant", "content": step.removeprefix(_FINAL)}


def _arguments(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        raise StemmaError("answer, Action Input: is no JSON; ask the model again") from None
    return text


def _answer(text: str, tools: Sequence[Tool]) -> Message:
    """The call, or the final answer, or the text as it is; what follows an Observation is not the model's to say."""
    if not tools:
        return {"role": "assistant", "content": text}
    said = text.split("\nObservation:")[0]
    found = _CALL.fullmatch(said)
    if found is not None and found["name"].strip():
        call = tool_call(
            found["name"].strip(), _arguments(found["arguments"].strip()), "answer, Action Input"
        )
        thought = found["thought"].rpartition("Thought: ")[2].strip()
        return {"role": "assistant", "content": thought, "tool_calls": [call]}
    return {"role": "assistant", "content": text.rpartition("\nFinal Answer: ")[2]}


def _source() -> str:
    source = _SOURCE.replace("STEP\n", _STEP)
    for name, text in (("HEAD", _HEAD), ("RULES", _RULES), ("FOOT", _FOOT), ("FINAL", _FINAL)):
        source = source.replace(name, text.replace("\n", "\\n"))
    return source


QWEN_REACT = BuiltinTemplate(
    source=_source(),
    stop_tokens=(END, START),
    stop_texts=("Observation:",),
    special_tokens=(START, END),
    one_answer=True,
    has_tools=True,
    read=_read,
    answer=_answer,
    used_by="Qwen-Chat (first generation) with tools",
)
