"""Waiting for others as long as they live, however long that is."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from detectron2.utils import comm

from pointrend_ext.processes.failures import LostProcess, check_failures
from pointrend_ext.processes.store import SharedStore, shared_store, who

_T = TypeVar("_T")

_numbers = itertools.count()  # the same in all processes, which wait for each other in one order


def wait_for_all() -> None:
    """Wait until every process is here.

    In contrast to a barrier of torch.distributed it has no time limit; a process that is dead, or
    has given no sign of life for ``SharedStore.limit_s``, ends it. Library code that computes for
    minutes without a break gives none meanwhile.

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


def once_per_machine(make: Callable[[], _T]) -> _T:
    """Return what the first process of each machine makes, in all processes of that machine.

    It goes through a file, which is gone when this returns, but for the memory of its tensors: that
    is mapped, so that all processes, and those they fork, have one copy together. Nothing is kept
    for another run, and so nothing can be out of date.

    Args:
        make: its value can be pickled.

    Raises:
        LostProcess: see ``wait_for_all``.
    """
    store, made, opened = shared_store(), next(_numbers), next(_numbers)
    first, size = comm.get_rank() - comm.get_local_rank(), comm.get_local_size()
    if store is None or size == 1:
        return make()
    if comm.get_rank() != first:
        _wait(store, made, [first])
        value = _mapped(store.get(f"made/{made}/{first}"))
        store.set(f"wait/{opened}/{comm.get_rank()}", "")
        return value
    value = make()
    with tempfile.TemporaryDirectory(  # of this user alone
        prefix="pointrend_ext_", ignore_cleanup_errors=True
    ) as folder:
        _write(value, f"{folder}/value")
        del value
        store.set(f"made/{made}/{first}", f"{folder}/value")
        store.set(f"wait/{made}/{first}", "")
        value = _mapped(f"{folder}/value")
        _wait(store, opened, range(first + 1, first + size))
    return value


def _write(value: Any, file: str) -> None:
    try:
        torch.save(value, file)
        return
    except (OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
    raise ValueError(
        f"What the processes of this machine share could not be written to {file} ({reason}). Let "
        "the environment variable TMPDIR name a folder with more space."
    )


def _mapped(file: str) -> Any:
    return torch.load(file, mmap=True, weights_only=False)


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
            elif now - beats[rank][1] > store.limit_s:
                raise LostProcess(
                    f"No sign of life for {store.limit_s:.0f} s: {who(store, rank)}. It "
                    "hangs, or its machine is cut off."
                )
        time.sleep(pause)
        pause = min(1.0, pause * 1.5)
