"""Decoding: from logits to tokens.

sampling        what the next token is drawn from
cached          rows, length and capacity of a KV cache
stopping        when an answer is over: stop ids, stop strings, length
decode          batched generation and one stream
session         one stream after another over a cache that is kept
language_model  model, tokenizer and template of a folder
conversation    a dialogue: history and context limit
terminal        a dialogue through stdin and stdout
"""
