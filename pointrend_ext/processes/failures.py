"""One sentence about what ends a run, from one process, with the name of that which is to blame."""

import hashlib
import os
import re
import sys
import time

import torch.distributed as dist
from detectron2.utils import comm

from pointrend_ext.processes.store import SharedStore, shared_store, who

_ANSWER_S = 5.0  # in which those that notice a failure say so, before the others are named
_STORE_S = 20.0  # in which the host of the store answers, however much it has to do
_OF_GLOO = (
    "gloo",
    "Connection closed by peer",
    "Timed out waiting",
    "Socket Timeout",
    "store of the process group",
)


class LostProcess(ConnectionError):
    """Another process has ended, or does not answer.

    The text is empty where that process has said by itself why it ends; ``exit_code`` is its own.
    """

    def __init__(self, text: str = "", exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def say_once(text: str, topic: str = "") -> None:
    """Write a line to stderr, in the first process that has it, or something of its topic, to say.

    Before there is a group, that is the first of the machine.
    """
    store = shared_store(_STORE_S)
    if store is None:
        is_first = os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")) == "0"
    else:
        try:
            is_first = (
                store.add(f"said/{hashlib.sha256((topic or text).encode()).hexdigest()}", 1) == 1
            )
        except RuntimeError:  # the host of the store is gone
            is_first = comm.get_local_rank() == 0
    if is_first:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def note_failure(exit_code: int) -> None:
    """Let the others know that this process ends, and has said why."""
    store = shared_store(_STORE_S)
    if store is not None:
        try:
            store.set(f"failed/{comm.get_rank()}", str(exit_code))
            store.set("failed", str(exit_code))
        except RuntimeError:
            return


def check_failures(store: SharedStore) -> None:
    """Raise LostProcess without a text where a process has noted its failure."""
    if store.has("failed"):
        raise LostProcess(exit_code=int(store.get("failed")))


def explain(error: BaseException) -> LostProcess | None:
    """Say which processes have let a collective of this one fail; None for any other error.

    Those whose collective fails come here within moments of each other. Who does not, and has
    noted no failure of its own, is to blame.
    """
    if isinstance(error, LostProcess):
        return error
    text = str(error)
    is_network = isinstance(error, dist.DistError) or any(word in text for word in _OF_GLOO)
    store = shared_store(_STORE_S)
    if store is None or not isinstance(error, RuntimeError) or not is_network:
        return None
    line = re.sub(r"^\[\S*\] ", "", text.strip()).partition("\n")[0].partition(". ")[0]  # no C++
    reason = line[:100] or type(error).__name__
    try:
        return _find_lost(store, reason)
    except LostProcess as lost:
        return lost
    except RuntimeError:
        host = os.environ.get("MASTER_ADDR", "the first machine")
        return LostProcess(f"Process 0, or the network to {host}, does not answer ({reason}).")


def _find_lost(store: SharedStore, reason: str) -> LostProcess:
    others = set(range(comm.get_world_size())) - {comm.get_rank()}
    store.set(f"here/{comm.get_rank()}", "")
    end = time.monotonic() + _ANSWER_S
    beats = {rank: store.add(f"beat/{rank}", 0) for rank in others}
    while time.monotonic() < end:
        check_failures(store)
        others = {rank for rank in others if not store.has(f"here/{rank}")}
        time.sleep(0.1)
    if not others:
        return LostProcess(f"The processes lost their connections to each other ({reason}).")
    # One that lives may only not have noticed yet; it is to blame where no other is.
    silent = {rank for rank in others if store.add(f"beat/{rank}", 0) == beats[rank]}
    names = ", ".join(who(store, rank) for rank in sorted(silent or others))
    return LostProcess(f"Killed, hanging or cut off: {names} ({reason}).")
