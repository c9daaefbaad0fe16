"""A small tokenizer trained once for the whole folder."""

import pytest

from stemma.tokenizer import TrainSettings, train_tokenizer
from stemma.tokenizer.fast import FastTokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog. It was 2024, and the dog didn't mind.\n\n    return x + 1\n",
    "人工智能是计算机科学的一个分支，它试图了解智能的实质。使用Python语言，版本3.11，发布于2022年10月。",
    "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。The poem has 20 characters.",
    "user and assistant: system says hello. 你好，世界！Hello, world!",
] * 8


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return TEXTS


@pytest.fixture(scope="session")
def trained() -> FastTokenizer:
    return train_tokenizer(iter(TEXTS), TrainSettings(vocab_size=700))
