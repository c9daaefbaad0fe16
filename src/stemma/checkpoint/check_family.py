"""A suite for someone's own family: what every family of ours is held to, run on one checkpoint folder of it.

config          the config is read, every key of it; a key nobody knows is refused by name
config again    what is written for the Spec is read back as the same Spec, by the same family
tensors         every tensor of the folder is used, carried along or a copy; a missing, an unused and a mis-shaped one are
                refused by name
round trip      the folder written again holds the same tensors, name for name and byte for byte
decoding        tokens decoded with a cache are those computed without one, while the length is the trained one
<case>          logits and tokens equal to recorded ones, where expected.safetensors and facts.json lie in the folder
"""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from stemma.checkpoint.load import build_model
from stemma.checkpoint.open import Checkpoint, open_checkpoint
from stemma.checkpoint.parity import has_reference
from stemma.checkpoint.shards import FolderSource
from stemma.checkpoint.verify import Check, parity_checks
from stemma.checkpoint.write import write_checkpoint
from stemma.errors import StemmaError
from stemma.families import Family, families, family_of_config
from stemma.families.source import MemorySource, TensorSource
from stemma.model.cache import KVCache
from stemma.model.spec import difference

_STRANGE = "a_key_nobody_knows"


def check_family(family: Family, folder: Path) -> list[Check]:
    """Run the suite on a checkpoint folder that `family`, registered or not, can open. Nothing is raised for a failure.

    The folder is read whole, so give a small model of random weights; every tensor of it should be non-default.
    """
    try:
        found = open_checkpoint(folder, family)
    except StemmaError as error:
        return [Check(name="config", passed=False, detail=str(error))]
    checks = [_guarded("config", lambda: _config(family, found))]
    checks.append(_guarded("config again", lambda: _config_again(family, found)))
    checks.append(_guarded("tensors", lambda: _tensors(family, found)))
    checks.append(_guarded("round trip", lambda: _round_trip(family, found)))
    if found.spec.causal and found.spec.encoder is None:
        checks.append(_guarded("decoding", lambda: _decoding(found)))
    if has_reference(folder):
        checks += parity_checks(found)
    return checks


def _guarded(name: str, check: Callable[[], str]) -> Check:
    """A check that returns what is wrong, or nothing."""
    try:
        problem = check()
    except StemmaError as error:
        problem = str(error)
    return Check(name=name, passed=not problem, detail=problem)


def _config(family: Family, found: Checkpoint) -> str:
    plain = {key: value for key, value in found.config.items() if key != "quantization_config"}
    refusal = _refusal(lambda: family.spec_of({**plain, _STRANGE: 1}))
    if _STRANGE not in refusal:
        return f"a config with the key '{_STRANGE}' is read as if it were not there; take keys from the Config alone"
    return ""


def _config_again(family: Family, found: Checkpoint) -> str:
    config = json.loads(json.dumps(family.config_of(found.spec, found.special_ids)))
    changes = difference(found.spec, family.spec_of(config))
    if changes:
        return f"what `write` says is read back otherwise: {changes[0]}"
    chosen = _refusal(lambda: family_of_config(config).name)
    if chosen and chosen != family.name and family in families():
        return f"a config that `write` made is taken for the family '{chosen}'; give distinctive keys"
    return ""


def _tensors(family: Family, found: Checkpoint) -> str:
    names = found.published.names()
    used = [name for name in names if name not in getattr(found.tensors, "carried", [])]
    tensors = {name: torch.empty(found.published.info(name).shape, device="meta") for name in names}
    attempts: list[tuple[str, str, dict[str, torch.Tensor]]] = [
        ("missing", used[0], {k: v for k, v in tensors.items() if k != used[0]}),
        ("missing", used[-1], {k: v for k, v in tensors.items() if k != used[-1]}),
        ("unused", _STRANGE, {**tensors, _STRANGE: torch.empty(1, device="meta")}),
        ("mis-shaped", used[0], {**tensors, used[0]: torch.empty(3, 5, 7, device="meta")}),
    ]
    for fault, name, changed in attempts:
        refusal = _refusal(lambda changed=changed: family.map_in(MemorySource(changed), found.spec).where)
        if name not in refusal:
            return f"a {fault} tensor '{name}' is not refused by name"
    return ""


def _round_trip(family: Family, found: Checkpoint) -> str:
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        write_checkpoint(copy, found.spec, found.tensors, family=family, special_ids=found.special_ids)
        return next(_differences(found.published, FolderSource(copy)), "")


def _differences(before: TensorSource, after: TensorSource) -> Iterator[str]:
    for name in before.names():
        if name not in after.names():
            yield f"tensor '{name}' is not written back"
        elif not torch.equal(before.read(name), after.read(name)):
            yield f"tensor '{name}' is written back with other values"
    for name in after.names():
        if name not in before.names():
            yield f"tensor '{name}' is written and was not in the folder"


@torch.no_grad()
def _decoding(found: Checkpoint) -> str:
    spec = found.spec
    model = build_model(spec, found.tensors).eval()
    length = min(12, spec.max_seq_len)
    ids = torch.randint(spec.vocab_size, (2, length), generator=torch.Generator().manual_seed(0))
    whole = model(ids)
    cache = KVCache(spec, 2, length)
    steps = [model(ids[:, start:end], cache=cache) for start, end in itertools.pairwise((0, 5, 6, length))]
    largest = float((torch.cat(steps, dim=1) - whole).abs().max())
    allowed = 1e-4 * float(whole.abs().max().clamp(min=1.0))
    return "" if largest <= allowed else f"logits with a cache differ by {largest:.2e} from those without"


def _refusal(attempt: Callable[[], Any]) -> str:
    """What an attempt says when it is refused, or what it gives."""
    try:
        return str(attempt())
    except StemmaError as error:
        return str(error)
