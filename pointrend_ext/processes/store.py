"""The store of the process group, and a sign of life of every process in it."""

import contextlib
import os
import socket
import threading
from datetime import timedelta

import torch.distributed as dist
from detectron2.utils import comm

__all__ = ["enter_group", "shared_store", "who"]

_BEAT_S = 5.0


def shared_store() -> dist.Store | None:
    """Return the store of the process group; None for a single process."""
    if comm.get_world_size() == 1:
        return None
    return dist.PrefixStore("pointrend_ext", dist.distributed_c10d._get_default_store())


def enter_group(timeout: timedelta) -> None:
    """Say who this process is, and show from now on that it lives; call it once in each.

    Args:
        timeout: how long collectives wait. That of Detectron2's own group of GPU trainings is set.
    """
    store = shared_store()
    if store is None:
        return
    if dist.get_backend() == "nccl":
        # Detectron2 makes a second group without saying how long it waits.
        dist.distributed_c10d._set_pg_timeout(timeout, comm._get_global_gloo_group())
    rank = comm.get_rank()
    store.set(f"who/{rank}", f"pid {os.getpid()} on {socket.gethostname()}")
    threading.Thread(target=_beat, args=(store, rank), daemon=True).start()


def _beat(store: dist.Store, rank: int) -> None:
    with contextlib.suppress(RuntimeError):  # the group has ended
        while True:
            store.add(f"beat/{rank}", 1)
            threading.Event().wait(_BEAT_S)


def who(store: dist.Store, rank: int) -> str:
    """Return "process 1 (pid 17 on host)"."""
    key = f"who/{rank}"
    return f"process {rank} ({store.get(key).decode() if store.check([key]) else 'not started'})"
