"""What processes tell each other: who waits, who speaks, who is lost."""

import io
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from datetime import timedelta

import pytest
import torch
from detectron2.utils import comm

from pointrend_ext._command import end_well
from pointrend_ext.processes import (
    LostProcess,
    explain,
    first_on_machine,
    fresh_store,
    told_by_first,
    wait_for_all,
)
from tests.parallel import in_processes


def test_one_process_needs_nobody():
    wait_for_all()
    with first_on_machine():
        assert told_by_first("a") == "a"
    assert explain(RuntimeError("gloo: Connection closed by peer")) is None


def _orders(folder):
    """Rank 0 is slow: the others come after it, or after the first of their machine."""
    rank = comm.get_rank()
    with first_on_machine():
        began = time.time()
        time.sleep(0.3 * (comm.get_local_rank() == 0))
        ended = time.time()
    told = told_by_first(f"I am {rank}")
    time.sleep(0.5 * (rank == 0))
    ready = time.time()
    wait_for_all()
    return began, ended, told, ready, time.time()


def test_waiting(tmp_path):
    of = in_processes(4, _orders, tmp_path, machines=2)
    for first, other in ((0, 1), (2, 3)):
        assert of[other][0] >= of[first][1]
    assert of[2][0] < of[0][1]  # machines do not wait for each other
    assert {told for _, _, told, _, _ in of} == {"I am 0"}
    assert min(done for *_, done in of) >= max(ready for *_, ready, _ in of)


def _speaks(kinds):
    """What a program prints in this process, and its exit code."""

    def work():
        kind = kinds[comm.get_rank()]
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hangs":
            time.sleep(12)
        if kind == "error":
            raise TypeError("a mistake of the program")
        if kind == "wrong":
            raise ValueError("Set A to 1.")
        for _ in range(3):
            torch.distributed.all_reduce(torch.zeros(1))
        wait_for_all()

    with redirect_stderr(io.StringIO()) as printed:
        try:
            code = end_well("tool.py", work)
        except TypeError:
            code = "traceback"
    return code, printed.getvalue()


def test_the_same_mistake_is_said_once():
    spoken = in_processes(3, _speaks, ["wrong"] * 3)
    assert [code for code, _ in spoken] == [2, 2, 2]
    assert sorted(text for _, text in spoken) == ["", "", "tool.py: Error: Set A to 1.\n"]


@pytest.mark.parametrize(("kind", "code"), [("wrong", 2), ("error", 1)])
def test_others_do_not_complain_of_who_said_why_it_ends(kind, code):
    spoken = in_processes(3, _speaks, ["", kind, ""])
    assert [c for c, _ in spoken] == [code, "traceback" if kind == "error" else 2, code]
    assert [text for _, text in spoken] == ["", spoken[1][1], ""]


@pytest.mark.parametrize("kind", ["killed", "hangs"])
def test_who_is_lost_is_named_once(kind):
    start = time.monotonic()
    spoken = in_processes(3, _speaks, ["", kind, ""], group_timeout=3, timeout=90)
    assert time.monotonic() - start < 90
    (text,) = {text for code, text in (spoken[0], spoken[2]) if text}
    assert [spoken[0][0], spoken[2][0]] == [1, 1]
    assert text.startswith("tool.py: Error: Killed, hanging or cut off: process 1 (pid ")


def _waits_for_a_silent_one():
    if comm.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        wait_for_all()
    except LostProcess as error:
        os.kill(int(str(error).split("pid ")[1].split()[0]), signal.SIGKILL)
        return str(error)


def test_waiting_ends_where_there_is_no_sign_of_life():
    said, _ = in_processes(2, _waits_for_a_silent_one, group_timeout=8)
    assert said.startswith("No sign of life for 8 s: process 1 (pid ")


def test_processes_that_are_started_again_find_nothing_of_those_before():
    store, timeout = torch.distributed.HashStore(), timedelta(seconds=20)

    def mark(rank):
        fresh_store(store, rank, 3, timeout).set(f"mark/{rank}", "")

    def marked(rank):
        own = fresh_store(store, rank, 3, timeout)
        found = [r for r in range(3) if own.check([f"mark/{r}"])]
        own.set("together", "")
        return found, own

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(mark, range(3)))
        again = list(pool.map(marked, range(3)))
        assert [found for found, _ in again] == [[]] * 3
        assert all(own.check(["together"]) for _, own in again)
    with pytest.raises(RuntimeError, match=r"of 2, processes \[1\] are missing"):
        fresh_store(torch.distributed.HashStore(), 0, 2, timedelta(seconds=0.1))
