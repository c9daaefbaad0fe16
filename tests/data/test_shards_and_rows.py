import json

import numpy as np
import pytest

from stemma.data.causal import CausalRows, tokenize_documents
from stemma.data.shards import Item, TokenShards, open_if_same, write_shards
from stemma.errors import StemmaError

DOCUMENTS = [[1, 2, 3, 0], [4, 0], [5, 6, 7, 8, 9, 0]]


class Bytes:
    """A tokenizer of bytes with an end-of-text token."""

    vocab_size, bos_id, eos_id, pad_id, fingerprint = 257, None, 256, None, "bytes"

    def encode(self, text: str, after: str = "start") -> list[int]:
        return list(text.encode())

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def token_bytes(self, token: int) -> bytes:
        return bytes([token])


def write(folder, documents=DOCUMENTS, **options):
    items = [Item(token_ids=ids, num_bytes=len(ids) - 2) for ids in documents]
    return write_shards(folder, items, key="k", vocab_size=10, **options)


@pytest.mark.parametrize("shard_tokens", [1, 4, 6, 100])
def test_tokens_read_the_same_however_they_are_cut_into_shards(tmp_path, shard_tokens):
    shards = write(tmp_path / "t", shard_tokens=shard_tokens)
    assert shards.tokens(0, 12).tolist() == [1, 2, 3, 0, 4, 0, 5, 6, 7, 8, 9, 0]
    assert shards.tokens(3, 8).tolist() == [0, 4, 0, 5, 6]
    assert [shards.document(i)[0].tolist() for i in range(3)] == DOCUMENTS
    assert shards.lengths().tolist() == [4, 2, 6]
    assert shards.document_bytes.tolist() == [2, 0, 4]


def test_shards_are_found_again_by_their_key_only(tmp_path):
    write(tmp_path / "t")
    assert open_if_same(tmp_path / "t", "k") is not None
    assert open_if_same(tmp_path / "t", "other") is None
    assert open_if_same(tmp_path / "absent", "k") is None


def test_a_changed_byte_is_found(tmp_path):
    shards = write(tmp_path / "t")
    shards.verify()
    path = tmp_path / "t" / "tokens-00000.bin"
    data = bytearray(path.read_bytes())
    data[2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StemmaError, match=r"tokens-00000\.bin"):
        TokenShards(tmp_path / "t").verify()


def test_a_truncated_file_is_refused_on_opening(tmp_path):
    write(tmp_path / "t")
    path = tmp_path / "t" / "tokens-00000.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StemmaError, match="is missing or not 24 bytes"):
        TokenShards(tmp_path / "t")


def test_an_id_outside_the_vocabulary_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(StemmaError, match="token id 10"):
        write(tmp_path / "t", [[1, 10]])
    assert list(tmp_path.iterdir()) == []


def test_rows_predict_every_token_but_the_first_of_each_document_once(tmp_path):
    for length in (1, 2, 3, 5, 11, 40):
        rows = CausalRows(write(tmp_path / f"t{length}"), length, whole=True)
        predicted = []
        for i in range(len(rows)):
            sample = rows.sample(i)
            assert len(sample) == length
            predicted += sample.targets[sample.weights > 0].tolist()
        assert predicted == [2, 3, 0, 0, 6, 7, 8, 9, 0]


def test_a_row_separates_its_documents_and_restarts_positions(tmp_path):
    sample = CausalRows(write(tmp_path / "t"), 9).sample(0)
    assert sample.token_ids.tolist() == [1, 2, 3, 0, 4, 0, 5, 6, 7]
    assert sample.segment_ids.tolist() == [1, 1, 1, 1, 2, 2, 3, 3, 3]
    assert sample.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 0, 1, 2]]
    assert sample.weights.tolist() == [1, 1, 1, 0, 1, 0, 1, 1, 1]
    assert sample.targets.tolist() == [2, 3, 0, 0, 0, 0, 6, 7, 8]


def test_a_document_cut_by_a_row_starts_at_position_zero_again(tmp_path):
    sample = CausalRows(write(tmp_path / "t"), 2).sample(4)
    assert sample.token_ids.tolist() == [7, 8]
    assert sample.segment_ids.tolist() == [1, 1]
    assert sample.position_ids.tolist() == [[0, 1]]


def corpus(path, texts):
    path.write_text("".join(json.dumps({"id": str(i), "text": t}) + "\n" for i, t in enumerate(texts)))
    return path


def test_documents_become_tokens_with_the_bytes_their_targets_stand_for(tmp_path):
    path = corpus(tmp_path / "a.jsonl", ["abc", "", "河x"])
    shards = tokenize_documents(tmp_path / "t", [path], Bytes())
    assert shards.tokens(0, shards.num_tokens).tolist() == [*b"abc", 256, *"河x".encode(), 256]
    assert shards.document_bytes.tolist() == [2, 3]  # the first token is nobody's target
    assert shards.index.num_targets == 7
    assert shards.index.dtype == "uint16"


def test_tokens_are_reused_until_the_documents_change(tmp_path):
    path = corpus(tmp_path / "a.jsonl", ["abc"])
    tokenize_documents(tmp_path / "t", [path], Bytes())
    before = (tmp_path / "t" / "index.json").stat().st_mtime_ns
    tokenize_documents(tmp_path / "t", [path], Bytes())
    assert (tmp_path / "t" / "index.json").stat().st_mtime_ns == before
    corpus(path, ["abcd"])
    assert tokenize_documents(tmp_path / "t", [path], Bytes()).num_tokens == 5


def test_a_corpus_without_text_is_refused(tmp_path):
    with pytest.raises(StemmaError, match="holds no document with text"):
        tokenize_documents(tmp_path / "t", [corpus(tmp_path / "a.jsonl", ["", ""])], Bytes())


def test_large_vocabularies_are_stored_in_32_bits(tmp_path):
    items = [Item(token_ids=[70000, 1], num_bytes=1)]
    shards = write_shards(tmp_path / "t", items, key="k", vocab_size=70001)
    assert shards.index.dtype == "uint32"
    assert np.asarray(shards.tokens(0, 2)).tolist() == [70000, 1]
