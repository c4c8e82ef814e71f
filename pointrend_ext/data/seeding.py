"""Randomness as a function of where a training is, not of how the process came there."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_process(*words: int) -> None:
    """Seed ``random``, NumPy and torch, GPUs included, by a tuple of non-negative numbers.

    Each other tuple gives another, independent state.
    """
    torch.manual_seed(_seed_all_but_torch(words))


@contextmanager
def seeded(*words: int) -> Iterator[None]:
    """Seed ``random``, NumPy and torch on the CPU for the body; then go on as before it."""
    before = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    torch.default_generator.manual_seed(_seed_all_but_torch(words))
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])
        torch.set_rng_state(before[2])


def _seed_all_but_torch(words: tuple[int, ...]) -> int:
    """Return the seed for torch."""
    drawn = np.random.SeedSequence(words).generate_state(6)  # uint32
    np.random.seed(drawn[:4])  # noqa: NPY002  (Detectron2 draws from it)
    random.seed(int(drawn[4]))
    return int(drawn[5])
