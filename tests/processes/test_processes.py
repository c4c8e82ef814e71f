"""What processes tell each other: who waits, who speaks, who is lost."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from detectron2.utils import comm

from pointrend_ext._command import end_well
from pointrend_ext.processes import (
    LostProcess,
    explain,
    first_on_machine,
    fresh_store,
    once_per_machine,
    told_by_first,
    wait_for_all,
    waiting,
)
from tests.parallel import in_processes

ROOT = Path(__file__).resolve().parents[2]


def test_one_process_needs_nobody():
    wait_for_all()
    with first_on_machine():
        assert told_by_first("a") == "a"
    assert once_per_machine(lambda: [1]) == [1]
    assert explain(RuntimeError("gloo: Connection closed by peer")) is None


def _orders():
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


def _shares():
    """What one process of each machine makes, whether it is mapped, what is left of the file."""
    tempfile.tempdir = os.environ["TMPDIR"]  # another process may have asked for it before
    made = once_per_machine(lambda: {"by": comm.get_rank(), "block": torch.arange(5000)})
    maps = Path("/proc/self/maps")
    is_mapped = "pointrend_ext_" in maps.read_text() if maps.exists() else True
    wait_for_all()
    return made["by"], made["block"].sum().item(), is_mapped, os.listdir(tempfile.gettempdir())


def test_waiting(launched):
    of = launched["orders"]
    for first, other in ((0, 1), (2, 3)):
        assert of[other][0] >= of[first][1]
    assert of[2][0] < of[0][1]  # machines do not wait for each other
    assert {told for _, _, told, _, _ in of} == {"I am 0"}
    assert min(done for *_, done in of) >= max(ready for *_, ready, _ in of)


def test_one_process_of_a_machine_makes_what_all_of_it_have(launched):
    total = 5000 * 4999 // 2
    assert launched["shares"] == [(rank, total, True, []) for rank in (0, 0, 2, 2)]


def test_what_cannot_be_shared_says_where_it_was_written(monkeypatch):
    def fail(value, file):
        raise RuntimeError("unexpected pos 1 vs 2\nC++")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(ValueError, match=r"to /a/b \(unexpected pos 1 vs 2\)\. Let .* TMPDIR name"):
        waiting._write(1, "/a/b")


def _speaks(kinds):
    """What a program prints in this process, and its exit code."""

    def work():
        kind = kinds[comm.get_rank()]
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hangs":
            time.sleep(25)
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


def test_the_same_mistake_is_said_once(launched):
    spoken = launched["the same"]
    assert [code for code, _ in spoken] == [2, 2, 2]
    assert sorted(text for _, text in spoken) == ["", "", "tool.py: Error: Set A to 1.\n"]


@pytest.mark.parametrize(("kind", "code"), [("wrong", 2), ("error", 1)])
def test_others_do_not_complain_of_who_said_why_it_ends(kind, code, launched):
    spoken = launched[kind]
    assert [c for c, _ in spoken] == [code, "traceback" if kind == "error" else 2, code]
    assert [text for _, text in spoken] == ["", spoken[1][1], ""]


# In a launch the limit is that of the group from its beginning on; `in_processes` sets it later.
_NEEDS_NEW_TORCH = pytest.mark.skipif(
    torch.__version__.startswith("2.4."), reason="gloo keeps the limit that it began with"
)


@pytest.mark.parametrize("kind", ["killed", pytest.param("hangs", marks=_NEEDS_NEW_TORCH)])
def test_who_is_lost_is_named_once(kind, launched):
    spoken = launched[kind]
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


def test_waiting_ends_where_there_is_no_sign_of_life(launched):
    said, _ = launched["silent"]
    assert said.startswith("No sign of life for 8 s: process 1 (pid ")


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """What processes return by case, which all run at once: most of their time is waiting."""
    folder = tmp_path_factory.mktemp("temporary")
    cases = {
        "orders": (4, _orders, (), {"machines": 2}),
        "shares": (4, _shares, (), {"machines": 2}),
        "silent": (2, _waits_for_a_silent_one, (), {"group_timeout": 8}),
        "the same": (3, _speaks, (["wrong"] * 3,), {}),
        "wrong": (3, _speaks, (["", "wrong", ""],), {}),
        "error": (3, _speaks, (["", "error", ""],), {}),
        "killed": (3, _speaks, (["", "killed", ""],), {}),
        "hangs": (3, _speaks, (["", "hangs", ""],), {"group_timeout": 6}),
    }
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(cases)) as pool:
        patch.setenv("TMPDIR", str(folder))
        futures = {
            case: pool.submit(in_processes, number, function, *args, timeout=90, **options)
            for case, (number, function, args, options) in cases.items()
        }
        return {case: future.result() for case, future in futures.items()}


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


_ENDS_WHILE_IT_BEATS = """
import os, sys
from datetime import timedelta
import torch.distributed as dist
from detectron2.utils import comm
from pointrend_ext.processes import enter_group, store
rank, file = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", store=dist.FileStore(file, 2), rank=rank, world_size=2)
comm.create_local_process_group(2)
store.BEAT_S = 1e-9
enter_group(timedelta(seconds=60))
comm.synchronize()
"""


@pytest.mark.slow
def test_a_process_that_ends_is_not_aborted(tmp_path):
    """Python ends while another thread is in torch: it aborted one of a few times."""
    codes = []
    for number in range(6):
        words = [sys.executable, "-W", "ignore", "-c", _ENDS_WHILE_IT_BEATS]
        pair = [
            subprocess.Popen([*words, rank, str(tmp_path / f"{number}")], cwd=ROOT)
            for rank in ("0", "1")
        ]
        codes += [process.wait(120) for process in pair]
    assert codes == [0] * 12
