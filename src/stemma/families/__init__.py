"""Published model families as tables: config.json <-> Spec, tensor names <-> ours, special ids, chat template.

family      the table
config      reading a config.json strictly
rope        rotary settings in both published spellings
rules       rename, fuse, group, transpose, permute, in both directions
mapping     sources under other names, strict about missing, unused and mis-shaped tensors
source      the TensorSource protocol
registry    which families there are
llama, baichuan, stemma   one file per family
"""

from stemma.families.family import Family, SpecialIds
from stemma.families.registry import families, family_for_spec, family_named, family_of_config
from stemma.families.source import MemorySource, TensorInfo, TensorSource

__all__ = [
    "Family",
    "MemorySource",
    "SpecialIds",
    "TensorInfo",
    "TensorSource",
    "families",
    "family_for_spec",
    "family_named",
    "family_of_config",
]
