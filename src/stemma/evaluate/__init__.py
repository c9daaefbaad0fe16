"""Evaluation: numbers with the protocol they were measured by.

scoring      log-probabilities of tokens: whole sequences, and choices after a shared context
perplexity   loss and bits per byte by domain
questions    questions with one right answer, and how they are read
protocols    chat and plain text: from a question to prompts and choices
answering    exact match by greedy decoding, choice by likelihood
grouping     accuracy with its interval, by kind, language and turns
compressors  bits per byte of general compressors and of a unigram model on the same text
texts        documents of files by domain
evaluation   one model on all of it; writes evaluation.json
tables       results as text
"""
