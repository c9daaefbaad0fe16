"""Reading a published config.json strictly: every key is taken by the family, known not to matter, or an error.

`Config` hands out keys once each and remembers which; `finish` judges the rest. Two tables hold what is known of keys
that no family takes: `IRRELEVANT` does not change what a forward pass computes, `MUST_BE` would unless it has one of
the values listed.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from stemma.config import parse, suggest
from stemma.errors import StemmaError

T = TypeVar("T")

_BOOKKEEPING = """
    _name_or_path _from_model_config _commit_hash _attn_implementation _attn_implementation_autoset _flash_attn_2_enabled
    attn_implementation architectures auto_map model_type transformers_version torch_dtype dtype tokenizer_class
    initializer_range initializer_factor init_method init_std use_cache torchscript use_bfloat16 gradient_checkpointing
    output_attentions output_hidden_states output_scores return_dict return_dict_in_generate keys_to_ignore_at_inference
    finetuning_task problem_type task_specific_params id2label label2id num_labels is_decoder tf_legacy_loss
    chunk_size_feed_forward cross_attention_hidden_size tie_encoder_decoder unsloth_version unsloth_fixed
    attention_dropout hidden_dropout hidden_dropout_prob attention_probs_dropout_prob dropout activation_dropout
    classifier_dropout embedding_dropout layerdrop pretraining_tp stemma
"""
_GENERATION = """
    bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id forced_bos_token_id forced_eos_token_id
    max_length min_length max_new_tokens do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature
    top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size
    bad_words_ids num_return_sequences remove_invalid_values exponential_decay_length_penalty suppress_tokens
    begin_suppress_tokens prefix user_token_id assistant_token_id mask_token_id gmask_token_id eop_token_id unk_token_id
"""
# pretraining_tp splits matrix products without changing their sums; the dropouts act in training alone.
IRRELEVANT = frozenset((_BOOKKEEPING + _GENERATION).split())

MUST_BE: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "is_encoder_decoder": ((False,), "an encoder-decoder model is another layout"),
    "add_cross_attention": ((False,), "cross-attention is not part of this layout"),
    "pruned_heads": (({}, []), "pruned heads change the shape of single layers; use the unpruned checkpoint"),
    "quantization_config": ((), "the weights are quantised; use the checkpoint in bfloat16 or float16"),
    "sliding_window": ((), "this layout has no sliding window"),
}

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
PUBLISHED_ACTIVATION = {"silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}


class Config:
    """One JSON object being read; `where` names it in messages. A null counts as absent."""

    def __init__(self, values: Mapping[str, Any], where: str = "config.json") -> None:
        self.values, self.where = values, where
        self._taken: set[str] = set()

    def has(self, key: str) -> bool:
        """Whether the key is there and not null; does not take it."""
        return self.values.get(key) is not None

    def take(self, key: str, kind: type[T], *aliases: str) -> T:
        """A key that must be there, under this name or an older one."""
        value = self.maybe(key, kind, *aliases)
        if value is None:
            raise StemmaError(f"{self.where}: key '{key}' is missing; the file does not say what to build")
        return value

    def optional(self, key: str, kind: type[T], default: T, *aliases: str) -> T:
        """A key with a default."""
        value = self.maybe(key, kind, *aliases)
        return default if value is None else value

    def maybe(self, key: str, kind: type[T], *aliases: str) -> T | None:
        """A key that may be absent. Raises StemmaError when two spellings of it disagree."""
        self._taken.update((key, *aliases))
        found = {k: parse(kind, self.values[k], f"{self.where}: {k}") for k in (key, *aliases) if self.has(k)}
        values = list(found.values())
        if any(value != values[0] for value in values):
            raise StemmaError(f"{self.where}: {' and '.join(found)} disagree; keep the one that is right")
        return values[0] if values else None

    def table(self, key: str) -> "Config | None":
        """A key that holds an object, to be read and finished on its own."""
        self._taken.add(key)
        if not self.has(key):
            return None
        value = self.values[key]
        if not isinstance(value, Mapping):
            raise StemmaError(f"{self.where}: {key}: expected an object, found {value!r}")
        return Config(cast("Mapping[str, Any]", value), f"{self.where}: {key}")

    def with_default(self, key: str, value: Any) -> "Config":
        """The same reading with a value for a key the file leaves out."""
        changed = Config({**self.values, key: value}, self.where)
        changed._taken = self._taken
        return changed

    def skip(self, *keys: str) -> None:
        """Keys, or lists of keys with blanks between them, that change nothing in this family's forward pass."""
        self._taken.update(word for key in keys for word in key.split())

    def expect(self, key: str, value: Any, reason: str) -> None:
        """A key that may be absent or have one value. Raises StemmaError with the reason for any other."""
        self._taken.add(key)
        if self.has(key) and self.values[key] != value:
            raise StemmaError(
                f"{self.where}: {key} is {self.values[key]!r}, which cannot be honoured: {reason}"
            )

    def activation(self, key: str, default: str, *aliases: str) -> Any:
        """An activation by its published name, as ours."""
        name = self.optional(key, str, default, *aliases)
        if name not in ACTIVATIONS:
            raise StemmaError(f"{self.where}: {key} '{name}' is not known{suggest(name, list(ACTIVATIONS))}")
        return ACTIVATIONS[name]

    def finish(self) -> None:
        """Raise StemmaError for a key nobody took that may change the computation."""
        for key, value in self.values.items():
            if key in self._taken or key in IRRELEVANT or value is None:
                continue
            if key in MUST_BE:
                allowed, reason = MUST_BE[key]
                if value not in allowed:
                    raise StemmaError(f"{self.where}: {key} is {value!r}, which cannot be honoured: {reason}")
                continue
            known = [*self._taken, *IRRELEVANT, *MUST_BE]
            hint = suggest(key, known)
            hint = hint if "did you mean" in hint else ""
            raise StemmaError(
                f"{self.where}: key '{key}' is not known{hint}; "
                "remove it if it does not change what the model computes"
            )
