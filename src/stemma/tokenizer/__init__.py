"""Text to token ids and back: train, load, compare, and chat templates.

Legend: a token is its id; a piece is its spelling; a special token steers the model and no text can become it.
"""

from stemma.tokenizer.load import load_tokenizer
from stemma.tokenizer.messages import Dialogue, Tool, ToolCall
from stemma.tokenizer.parse_chat import parse_answer, parse_chat
from stemma.tokenizer.template import (
    ChatTemplate,
    ChatTokens,
    Message,
    builtin_template,
    check_messages,
    check_prompts,
    encode_answers,
    encode_chat,
    template_of,
)
from stemma.tokenizer.tokenizer import StreamDecoder, Tokenizer
from stemma.tokenizer.train import TrainSettings, train_tokenizer

__all__ = [
    "ChatTemplate",
    "ChatTokens",
    "Dialogue",
    "Message",
    "StreamDecoder",
    "Tokenizer",
    "Tool",
    "ToolCall",
    "TrainSettings",
    "builtin_template",
    "check_messages",
    "check_prompts",
    "encode_answers",
    "encode_chat",
    "load_tokenizer",
    "parse_answer",
    "parse_chat",
    "template_of",
    "train_tokenizer",
]
