"""Randomness as a function of where a training is, not of how the process came there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["seed_process", "seeded"]


def seed_process(*words: int) -> None:
    """Seed ``random``, NumPy and torch, GPUs included.

    Args:
        words: non-negative numbers; each other tuple gives another, independent state.
    """
    numpy_words, python_word, torch_word = _words(words)
    np.random.seed(numpy_words)  # noqa: NPY002  (Detectron2 draws from it)
    random.seed(python_word)
    torch.manual_seed(torch_word)


@contextmanager
def seeded(*words: int) -> Iterator[None]:
    """Seed ``random``, NumPy and torch on the CPU for the body; then go on as before it.

    Args:
        words: see ``seed_process``.
    """
    before = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    numpy_words, python_word, torch_word = _words(words)
    np.random.seed(numpy_words)  # noqa: NPY002
    random.seed(python_word)
    torch.default_generator.manual_seed(torch_word)
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])
        torch.set_rng_state(before[2])


def _words(words: tuple[int, ...]) -> tuple[np.ndarray, int, int]:
    drawn = np.random.SeedSequence(words).generate_state(6)  # uint32
    return drawn[:4], int(drawn[4]), int(drawn[5])
