import pytest
import torch

from stemma.generate.decode import generate
from stemma.generate.sampling import GenerationSettings
from stemma.generate.session import ChatSession
from stemma.generate.stopping import answers
from stemma.model.transformer import Transformer
from stemma.tokenizer import Tokenizer

SETTINGS = GenerationSettings(max_new_tokens=10, temperature=0.9, vocab_limit=256)


def whole(model: Transformer, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids]))[:, -1]


def test_logits_after_reusing_the_cache_equal_those_of_encoding_everything(any_model: Transformer) -> None:
    session = ChatSession(any_model)
    turns = [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 2, 3, 9, 9, 9, 9, 9, 9, 9, 9], [7], [1, 2, 3] * 15]
    for ids in turns:
        torch.testing.assert_close(session.encode(ids), whole(any_model, ids), atol=2e-5, rtol=1e-5)


def test_only_what_follows_the_common_beginning_is_encoded(model: Transformer) -> None:
    session = ChatSession(model)
    reused = []
    for ids in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 9], [1, 2, 9]):
        session.encode(ids)
        reused.append(session.num_reused)
    assert reused == [0, 3, 2, 2]


def test_a_cache_that_would_be_wrong_under_dynamic_ntk_is_not_reused(dynamic_model: Transformer) -> None:
    session = ChatSession(dynamic_model)
    session.encode([1] * 5)
    session.encode([1] * 8)
    assert session.num_reused == 5
    session.encode([1] * 9)
    assert session.num_reused == 0


def test_streamed_turns_equal_generating_each_from_nothing(
    byte_model: Transformer, tokenizer: Tokenizer
) -> None:
    session, history = ChatSession(byte_model), ""
    for question in ("Hi. ", "Who? ", "Where did it all begin? "):
        history += question
        prompt = tokenizer.encode(history)
        streamed = "".join(session.stream(prompt, SETTINGS, answers(tokenizer)))
        alone = generate(byte_model, [prompt], SETTINGS, answers(tokenizer))[0]
        assert (streamed, session.finish_reason) == (alone.text, alone.finish_reason)
        history += streamed


def test_a_stream_that_was_left_does_not_disturb_the_next(
    byte_model: Transformer, tokenizer: Tokenizer
) -> None:
    session, prompt = ChatSession(byte_model), tokenizer.encode("tell me")
    next(session.stream(prompt, SETTINGS, answers(tokenizer)))
    session._cache.length += 1  # an interrupt in the middle of a forward leaves an uncounted token behind
    longer = tokenizer.encode("tell me more")
    again = "".join(session.stream(longer, SETTINGS, answers(tokenizer)))
    assert again == generate(byte_model, [longer], SETTINGS, answers(tokenizer))[0].text


def test_a_session_grows_beyond_its_first_capacity(
    monkeypatch: pytest.MonkeyPatch, model: Transformer
) -> None:
    monkeypatch.setattr("stemma.generate.session._FIRST_CAPACITY", 4)
    session = ChatSession(model)
    session.encode([1, 2, 3])
    ids = [1, 2, 3, *range(4, 30)]
    torch.testing.assert_close(session.encode(ids), whole(model, ids), atol=2e-5, rtol=1e-5)
    assert session.num_reused == 3
