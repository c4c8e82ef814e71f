"""The lvis package, made to work with NumPy 1.24 and later."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from detectron2.evaluation import LVISEvaluator

__all__ = ["LvisInstanceEvaluator", "imported_lvis"]


class LvisInstanceEvaluator(LVISEvaluator):
    """Detectron2's LVIS evaluator, which alone fails with NumPy 1.24 and later."""

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what ``process`` has collected; None on other processes than the first."""
        with imported_lvis():
            return super().evaluate()


@contextlib.contextmanager
def imported_lvis() -> Iterator[ModuleType]:
    """Give the lvis package, usable inside the context.

    lvis 0.5.3, the last version, calls ``np.float``, which NumPy 1.24 removed: for the time of the
    context its evaluator finds it again; NumPy itself is not touched. The logging of the process,
    which lvis configures when it is imported, stays as it is.

    Yields:
        The module ``lvis``.

    Raises:
        ImportError: lvis is not installed.
    """
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        import lvis
        import lvis.eval as lvis_eval
    except ImportError as error:
        raise ImportError(
            "AP on LVIS, and AP*, need the package lvis: pip install 'pointrend-ext[eval]'."
        ) from error
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    original = lvis_eval.np
    lvis_eval.np = _NumpyWithFloat()
    chatter = logging.getLogger("lvis.results")  # warns of every list of predictions
    was_disabled, chatter.disabled = chatter.disabled, True
    try:
        yield lvis
    finally:
        lvis_eval.np = original
        chatter.disabled = was_disabled


class _NumpyWithFloat:
    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)
