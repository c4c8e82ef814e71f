"""The progress bar of the demo, where one is wanted: tqdm need not be installed without it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(
    total: int | None, unit: str, desc: str | None = None, *, shown: bool
) -> Iterator[Callable[[int], Any]]:
    """Give a function that moves the bar on; messages that are logged do not tear it."""
    if not shown:
        yield lambda number: None
        return
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with tqdm(total=total, unit=unit, desc=desc) as bar, logging_redirect_tqdm():
        yield bar.update
