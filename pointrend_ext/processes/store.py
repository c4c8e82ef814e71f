"""The store of the process group, and a sign of life of every process in it."""

import atexit
import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from detectron2.utils import comm

BEAT_S = 2.0
"""Between two signs of life of a process."""


class SharedStore:
    """The store of the process group; RuntimeError where its host does not answer in time.

    Torch's client waits without a limit where the network is gone, so each call has a thread.
    """

    limit_s = 1800.0
    _is_silent = threading.Event()  # nobody asks it twice

    def __init__(self, limit_s: float | None = None) -> None:
        store = dist.distributed_c10d._get_default_store()
        self._store = dist.PrefixStore("pointrend_ext", store)
        self._limit_s = self.limit_s if limit_s is None else limit_s

    def set(self, key: str, value: str) -> None:
        """Set a value."""
        self._ask(self._store.set, key, value)

    def get(self, key: str) -> str:
        """Return a value that is there."""
        return self._ask(self._store.get, key).decode()

    def add(self, key: str, number: int) -> int:
        """Add to a number, from 0, and return the sum."""
        return self._ask(self._store.add, key, number)

    def has(self, key: str) -> bool:
        """Tell whether there is a value."""
        return self._ask(self._store.check, [key])

    def _ask(self, question: Callable[..., Any], *args: Any) -> Any:
        answers: list[Any] = []

        def ask() -> None:
            try:
                answers.append(question(*args))
            except RuntimeError as error:
                answers.append(error)

        if not self._is_silent.is_set():
            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(self._limit_s)
        if not answers:
            self._is_silent.set()
            raise RuntimeError("the store of the process group does not answer")
        if isinstance(answers[0], RuntimeError):
            raise answers[0]
        return answers[0]


def shared_store(limit_s: float | None = None) -> SharedStore | None:
    """Return the store of the process group; None for a single process."""
    return None if comm.get_world_size() == 1 else SharedStore(limit_s)


def fresh_store(store: dist.Store, rank: int, size: int, timeout: timedelta) -> dist.Store:
    """Return a part of a store that holds nothing, the same in all processes.

    torchrun hands the store of the processes that it has ended to those that it starts in their
    place, which would find the addresses of the dead. Here the first process answers whoever asks
    now, by numbers that nobody has had before.

    Raises:
        RuntimeError: not all processes come within the time.
    """
    own, end = uuid.uuid4().hex, time.monotonic() + timeout.total_seconds()
    if rank:
        store.set(f"ask/{rank}", own)
        store.wait([f"answer/{own}"], timeout)
        first = store.get(f"answer/{own}").decode()
        store.set(f"here/{first}/{rank}", "")
        return dist.PrefixStore(first, store)
    missing, answered = set(range(1, size)), set[str]()
    while missing:
        for other in missing:
            asks = store.get(f"ask/{other}").decode() if store.check([f"ask/{other}"]) else ""
            if asks and asks not in answered:
                answered.add(asks)
                store.set(f"answer/{asks}", own)
        missing = {other for other in missing if not store.check([f"here/{own}/{other}"])}
        if missing and time.monotonic() > end:
            raise RuntimeError(f"of {size}, processes {sorted(missing)} are missing")
        time.sleep(0.02)
    return dist.PrefixStore(own, store)


def enter_group(timeout: timedelta) -> None:
    """Say who this process is, and show from now on that it lives; call it once in each.

    Args:
        timeout: how long collectives, and the store, are waited for. That of the second group that
            Detectron2 makes for trainings on GPUs is set.
    """
    SharedStore.limit_s = timeout.total_seconds()
    store = shared_store()
    if store is None:
        return
    if dist.get_backend() == "nccl":
        # Detectron2 makes a second group without saying how long it waits.
        dist.distributed_c10d._set_pg_timeout(timeout, comm._get_global_gloo_group())
    rank = comm.get_rank()
    store.set(f"who/{rank}", f"pid {os.getpid()} on {socket.gethostname()}")
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(store, rank, ended), daemon=True)
    beating.start()
    atexit.register(_end_beat, beating, ended)


def _beat(store: SharedStore, rank: int, ended: threading.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the group has ended
        while not ended.is_set():
            store.add(f"beat/{rank}", 1)
            ended.wait(BEAT_S)


def _end_beat(beating: threading.Thread, ended: threading.Event) -> None:
    """Python aborts where a thread comes back from torch while it ends."""
    ended.set()
    beating.join(BEAT_S)


def who(store: SharedStore, rank: int) -> str:
    """Return "process 1 (pid 17 on host)"."""
    key = f"who/{rank}"
    return f"process {rank} ({store.get(key) if store.has(key) else 'not started'})"
