"""Positions inside attention: rotary tables (`rope`, `rope_2d`), their length extensions (`scaling`), biases (`alibi`, `relative`)."""
