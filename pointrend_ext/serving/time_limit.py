"""A limit to the time that one request works, by which a model ends in the middle of a picture."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from torch import nn


class TimeLimit:
    """Ends the work of a thread that takes too long, where it next comes by.

    A thread cannot be stopped from outside. So every layer of the model looks at the clock before
    it runs, as does what is in between; what has to end gives its thread back at once.
    """

    def __init__(self, seconds: float) -> None:
        """Keep the limit; whoever works begins with ``running``."""
        self.seconds = seconds
        self._local = threading.local()

    def watch(self, model: nn.Module) -> None:
        """Let every layer of a model look at the clock, for good; other threads go on."""
        for layer in model.modules():
            layer.register_forward_pre_hook(self.check)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the clock of this thread."""
        self._local.end = monotonic() + self.seconds
        try:
            yield
        finally:
            self._local.end = math.inf

    def check(self, *_: Any) -> None:
        """Raise ValueError where the time of this thread is over."""
        if monotonic() > getattr(self._local, "end", math.inf):
            raise ValueError(
                f"This took longer than the {self.seconds:g} seconds that one request may take: "
                "pass a smaller picture or fewer boxes, or start the page with --timeout."
            )
