"""Checkpoint folders: open, load, write, verify. Lazy, streamed, strict, and never a free pickle.

open         config.json and tensors under our names
load         a model in memory
write        streamed, sharded, atomic
shards       the tensor files of a folder
quantized    GPTQ, ChatGLM's rows and bitsandbytes as the dense models they stand for
source       tensors of a live model, casts
fingerprint  what rotary positions do, stored and compared
check_family the suite for someone's own family
verify       all checks of a folder, with the recorded reference tensors (parity) where they lie beside it
"""

from stemma.checkpoint.check_family import check_family
from stemma.checkpoint.load import build_model, load_model
from stemma.checkpoint.open import Checkpoint, describe, open_checkpoint
from stemma.checkpoint.source import CastSource, MemorySource, ModuleSource, TensorInfo, TensorSource
from stemma.checkpoint.write import write_checkpoint

__all__ = [
    "CastSource",
    "Checkpoint",
    "MemorySource",
    "ModuleSource",
    "TensorInfo",
    "TensorSource",
    "build_model",
    "check_family",
    "describe",
    "load_model",
    "open_checkpoint",
    "write_checkpoint",
]
