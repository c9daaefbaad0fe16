"""The learning rate of a step: linear warm-up, then a cosine down to `floor_ratio` of the peak at the last step.

Step s counts from 1. s <= warmup: peak * s / warmup; after: peak * (floor + (1 - floor) * (1 + cos(pi * p)) / 2) with
p = (s - warmup) / (steps - warmup) (arXiv 1608.03983 without restarts; LLaMA and Baichuan 2 use floor 0.1).
"""

import math


def learning_rate(step: int, *, peak: float, warmup_steps: int, steps: int, floor_ratio: float) -> float:
    """Learning rate of step `step`, 1 .. steps."""
    if step <= warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return peak * (floor_ratio + (1 - floor_ratio) * (1 + math.cos(math.pi * progress)) / 2)
