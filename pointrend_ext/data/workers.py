"""What a loader's worker processes hand over: images, whatever the size of /dev/shm, and errors."""

import os
import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import get_worker_info

TIMEOUT_S = 900
"""Seconds after which a worker that hands over nothing is given up: it would be waited for for
ever where what it sent is lost."""

_SHARED_MEMORY = "/dev/shm"


class LoadingError(ValueError):
    """An image that cannot be loaded, in one sentence also where a worker process has met it.

    Torch makes the text of a worker's exception out of its traceback; here the sentence is taken
    out again. Nothing else of the iteration has happened yet.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text.rpartition(f"{type(self).__name__}: ")[2].strip())


class WorkerMapper:
    """Calls a mapper; failures name the file, and results reach the main process in any case."""

    def __init__(self, mapper: Callable[[dict[str, Any]], Any], processes: int = 1) -> None:
        """Wrap a mapper.

        Args:
            mapper: turns a record into a model input.
            processes: of this machine that have workers of their own.
        """
        self.mapper, self.processes = mapper, processes

    def __call__(self, record: dict[str, Any]) -> Any:
        """Map a record.

        Raises:
            LoadingError: the mapper raised an OSError or ValueError.
        """
        try:
            value = self.mapper(record)
        except (OSError, ValueError) as error:
            text, name = str(error), str(record.get("file_name", ""))
            raise LoadingError(text if name in text else f"Image {name!r}: {text}") from error
        worker = get_worker_info()
        if worker is None or value is None:
            return value
        return _Sent(value, worker.num_workers * self.processes)


class _Sent:
    """Pickles as its value: through shared memory, or through the pipe where there is too little.

    A worker that finds the shared memory full loses what it sends, and the main process waits for
    it for ever. So no image may take more than the share of what is free that is safe even when
    all workers send at this moment, whatever else was sent before.
    """

    def __init__(self, value: Any, workers: int) -> None:
        self.value, self.workers = value, workers

    def __reduce__(self) -> tuple[Any, ...]:
        data = pickle.dumps(self.value, pickle.HIGHEST_PROTOCOL) if self._is_large() else None
        return (_same, (self.value,)) if data is None else (pickle.loads, (data,))

    def _is_large(self) -> bool:
        try:
            return 2 * self.workers * _num_bytes(self.value) > _free_bytes()
        except RecursionError:  # an object of the user's mapper that holds itself
            return True


def _same(value: Any) -> Any:
    return value


def _num_bytes(value: Any) -> int:
    """Add up the storages of tensors; a page each is the least that is taken."""
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes() + 4096
    if isinstance(value, dict):
        return sum(map(_num_bytes, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_num_bytes, value))
    # Instances, boxes and masks of Detectron2 keep theirs among their attributes.
    return _num_bytes(vars(value)) if hasattr(value, "__dict__") else 0


def _free_bytes() -> float:
    try:
        status = os.statvfs(_SHARED_MEMORY)
    except (AttributeError, OSError):  # a system that shares memory in another way
        return float("inf")
    return status.f_bavail * status.f_frsize


def worker_failure(error: Exception) -> LoadingError | None:
    """Say in words that workers died, hang or cannot start; None for any other error."""
    text = str(error).strip()
    is_start = isinstance(error, OSError)  # images have errors of their own
    if not is_start and ("DataLoader" not in text or "Traceback" in text):
        return None
    reason = text.partition("\n")[0].rstrip(".")
    return LoadingError(
        f"A process that loads images has ended, hangs or cannot start ({reason}). "
        f"{_SHARED_MEMORY} has {_free_bytes() / 1e6:.0f} MB free (Docker: --shm-size 8g); the "
        "memory may be full, too. Set DATALOADER.NUM_WORKERS lower; 0 takes no such process."
    )


class DeathWatch:
    """Lets a worker's death be told while a batch is waited for, and at no other moment.

    Torch tells it by an exception wherever the main process happens to be, such as in the middle of
    an optimizer's step. A signal to the whole group of processes kills workers, too.
    """

    def __init__(self) -> None:
        self._torch_handler: Any = None

    def __enter__(self) -> None:
        if callable(self._torch_handler):
            signal.signal(signal.SIGCHLD, self._torch_handler)
            self._torch_handler(signal.SIGCHLD, None)  # who died in the meantime?

    def __exit__(self, *_: object) -> None:
        if os.name != "nt" and threading.current_thread() is threading.main_thread():
            self._torch_handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
