"""Waiting for others as long as they live, however long that is."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from detectron2.utils import comm

from pointrend_ext.processes.failures import LostProcess, check_failures
from pointrend_ext.processes.store import SharedStore, shared_store, who

__all__ = ["first_on_machine", "told_by_first", "wait_for_all"]

SILENCE_S = 1800.0
"""Seconds without a sign of life after which a process is given up. Library code that computes for
minutes without a break gives none meanwhile."""
_numbers = itertools.count()  # the same in all processes, which wait for each other in one order


def wait_for_all() -> None:
    """Wait until every process is here.

    In contrast to a barrier of torch.distributed it has no time limit; a process that is dead or
    silent for ``SILENCE_S`` ends it.

    Raises:
        LostProcess: a process has failed, or gives no sign of life.
    """
    store, number = shared_store(), next(_numbers)
    if store is not None:
        store.set(f"wait/{number}/{comm.get_rank()}", "")
        _wait(store, number, range(comm.get_world_size()))


def told_by_first(value: str) -> str:
    """Return the value of the first process in all of them.

    Raises:
        LostProcess: see ``wait_for_all``; it has failed.
    """
    store, number = shared_store(), next(_numbers)
    if store is None:
        return value
    if comm.is_main_process():
        store.set(f"told/{number}", value)
        store.set(f"wait/{number}/0", "")
        return value
    _wait(store, number, [0])
    return store.get(f"told/{number}")


@contextmanager
def first_on_machine() -> Iterator[None]:
    """Run the body in the first process of each machine, then at the same time in its others.

    So that what the first keeps, such as checked or generated files, is there for the others.

    Raises:
        LostProcess: see ``wait_for_all``.
    """
    store, number = shared_store(), next(_numbers)
    first = comm.get_rank() - comm.get_local_rank()
    if store is not None and comm.get_rank() != first:
        _wait(store, number, [first])
    yield
    if store is not None and comm.get_rank() == first:
        store.set(f"wait/{number}/{first}", "")


def _wait(store: SharedStore, number: int, ranks: Sequence[int]) -> None:
    waits_for = set(ranks)
    beats: dict[int, tuple[int, float]] = {}
    pause = 0.01
    while True:
        waits_for = {rank for rank in waits_for if not store.has(f"wait/{number}/{rank}")}
        if not waits_for:
            return
        check_failures(store)
        now = time.monotonic()
        for rank in waits_for:
            beat = store.add(f"beat/{rank}", 0)
            if beats.get(rank, (-1, now))[0] != beat:
                beats[rank] = beat, now
            elif now - beats[rank][1] > SILENCE_S:
                raise LostProcess(
                    f"No sign of life for {SILENCE_S:.0f} s: {who(store, rank)}. It hangs, or its "
                    "machine is cut off."
                )
        time.sleep(pause)
        pause = min(1.0, pause * 1.5)
