"""Tokens to batches.

sample    the one form every objective takes
shards    token files on disk, memory-mapped
order     which item comes when: a pure function of (seed, step)
causal    documents -> pretraining rows
chat      dialogues -> samples; splitting; what each answer weighs
pack      samples -> rows of fixed length, no leakage
batch     samples -> tensors
"""
