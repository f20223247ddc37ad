"""Goals of attribution: what scores predict of retraining, and what they cost.

The linear datamodeling score (LDS) is the mean over test inputs of the rank correlation between
summed scores and the margin of models retrained on random halves of the data. Truth is honest
retraining by other code than ours: plain NumPy to a gradient norm of 1e-8, plain torch loops. That
of the images is kept in `.bench-truth/`. `attribution_images` and `attribution_mislabel` are tables
of their own too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch

from asv_bench.goals import (
    Goal,
    attribution_adult,
    attribution_digits,
    attribution_images,
    attribution_mislabel,
)

THREADS = f"torch 1 thread, {os.cpu_count()} cores"


def goals() -> Iterator[Goal]:
    torch.set_num_threads(1)
    yield from attribution_adult.goals()
    yield from attribution_digits.goals()
    yield from attribution_mislabel.goals()
    yield from attribution_images.goals()
