"""Train three steps under however many ranks torchrun started, and keep the last gradient and the weights."""

import os
import sys
from pathlib import Path

import torch

from conftest import VOCAB, gradient, train_run
from stemma.data.causal import CausalRows
from stemma.data.shards import Item, TokenShards, write_shards
from stemma.model.spec import AttentionSpec, BlockSpec, FeedForwardSpec, HeadSpec, RopeSpec, Spec

folder, rank = Path(sys.argv[1]), int(os.environ.get("RANK", "0"))
attention = AttentionSpec(num_heads=2, num_kv_heads=2, head_dim=8, position=RopeSpec())
block = BlockSpec(attention=attention, feed_forward=FeedForwardSpec(intermediate_size=32))
head = HeadSpec(tie_embeddings=True, max_z_weight=2e-4)
spec = Spec(vocab_size=VOCAB, hidden_size=16, num_layers=2, max_seq_len=64, blocks=(block,), head=head)
tokens = folder / f"tokens-{rank}"
generator = torch.Generator().manual_seed(1)
sizes = torch.randint(3, 30, (60,), generator=generator).tolist()
items = [
    Item(token_ids=[*torch.randint(1, VOCAB, (n,), generator=generator).tolist(), 0], num_bytes=n)
    for n in sizes
]
write_shards(tokens, items, key="tokens", vocab_size=VOCAB)
model = train_run(folder, spec, CausalRows(TokenShards(tokens), 16), steps=3, batch_size=5, writes=rank == 0)
if rank == 0:
    weights = torch.cat([p.detach().double().flatten() for p in model.parameters()])
    torch.save({"gradient": gradient(model), "weights": weights}, folder / "gradient.pt")
