"""Mutated and hostile weights files: refused in a sentence, or loaded as they were saved.

The slow part loads each in a process with bounded memory, which a hang or a crash may end.
"""

import json
import select
import subprocess
import sys
from collections import Counter

import pytest
import torch

pytest.importorskip("safetensors")
fuzz_cases = pytest.importorskip("tests.checkpoint.fuzz_cases", exc_type=ImportError)

from pointrend_ext.checkpoint import PointRendCheckpointer  # noqa: E402
from tests.checkpoint.fuzz_cases import CONTAINERS, as_bytes, make_model, run_case  # noqa: E402
from tests.checkpoint.helpers import assert_same  # noqa: E402

WAIT = 60  # seconds of a clock; the processor's are counted where the file is loaded


def test_the_unmutated_files_load(tmp_path):
    torch.manual_seed(0)
    original = make_model().state_dict()
    for container in CONTAINERS:
        path = tmp_path / "x"
        path.write_bytes(as_bytes(original, container))
        model = make_model()
        PointRendCheckpointer(model).load(str(path))
        assert_same(model.state_dict(), original)


@pytest.mark.parametrize("block", range(4))
def test_mutated_checkpoints(tmp_path, block):
    outcomes = [run_case(seed, tmp_path)[1] for seed in range(15 * block, 15 * block + 15)]
    assert outcomes.count("refused") >= 4


class Worker:
    """A process that loads files by their seeds."""

    def __init__(self, folder):
        words = [sys.executable, "-W", "ignore", "-m", "tests.checkpoint.fuzz_cases", str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(words, **pipes, stderr=subprocess.DEVNULL, text=True)

    def load(self, seed):
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], WAIT)[0]:
            self.process.kill()
            return "", "hangs", WAIT
        line = self.process.stdout.readline()
        return json.loads(line) if line else ("", "kills the process", 0.0)

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is bounded on Linux")
def test_many_files_in_bounded_time_and_memory(tmp_path):
    worker, counts, faults = Worker(tmp_path), Counter(), {}
    slowest = 0.0
    try:
        for seed in range(1000, 1600):
            kind, outcome, seconds = worker.load(seed)
            slowest = max(slowest, seconds)
            counts[kind, outcome] += 1
            if outcome not in ("refused", "unharmed", "undetectable"):
                faults[seed] = outcome
            if worker.process.poll() is not None or outcome in ("hangs", "kills the process"):
                worker.close()
                worker = Worker(tmp_path)
    finally:
        worker.close()
    print(dict(counts), f"slowest {slowest:.1f} s")
    assert not faults
    assert sum(n for (_, outcome), n in counts.items() if outcome == "refused") >= 300
    assert sum(n for (kind, _), n in counts.items() if kind == "attack") >= 90
