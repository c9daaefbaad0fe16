"""Positions inside attention: rotary tables (`rope`), their length extensions (`scaling`), linear biases (`alibi`)."""
