"""The whole chain as one recipe: clean, tokenizer, pretrain, SFT, evaluate, upgrade, chat, report.

recipe   what a chain recipe holds
stages   one function per stage, each the Python face of a command
run      the stages in order, resumable, with the exact commands on record
"""
