"""Training: the loss, the optimiser, the schedule, the loop that can be stopped anywhere, pretraining and SFT.

settings    the optimiser and loop settings both recipes share
loss        weighted cross entropy and max-z, never holding all logits
optimizer   AdamW
schedule    the learning rate of a step
parallel    ranks: what is summed over them
checkpoints the states of a run on disk
record      config.toml, run.json, metrics.jsonl
allocator   memory settings of the process
loop        fit
pretrain    documents -> base model
sft         dialogues -> chat model
"""
