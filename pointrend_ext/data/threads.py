"""Doing the same with many files at once."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

_SECONDS_WITHOUT_BAR = 2
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    title: str,
    threads: int = 16,
    chunk: int = 256,
) -> Iterator[_Result]:
    """Yield results in the order of the items, with a bar where that takes a while."""
    chunks = [items[first : first + chunk] for first in range(0, len(items), chunk)]
    bar = tqdm(total=len(items), desc=title, unit="file", delay=_SECONDS_WITHOUT_BAR, leave=False)
    with bar, ThreadPoolExecutor(threads) as pool:
        for results in pool.map(lambda chunk: [function(item) for item in chunk], chunks):
            bar.update(len(results))
            yield from results
