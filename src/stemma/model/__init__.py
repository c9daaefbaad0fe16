"""The Spec and the one Transformer it builds.

Shape legend: B batch, T queries, S keys, C hidden_size, H heads, K kv heads, D head_dim, V vocab_size.

spec          architecture as data: counts, differences
transformer   embedding, blocks, final norm, head
block         residual schemes
attention     MHA, GQA, MQA over one exact kernel
layout        masks and positions of one call
feed_forward  gated and plain
norm          RMSNorm, LayerNorm
position/     rope, scaling, alibi
head          tied, untied, normalised
cache         keys and values of decoded tokens
init          initial weights
"""
