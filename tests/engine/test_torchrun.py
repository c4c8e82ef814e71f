"""torchrun: ranks that are killed or hang, and a machine that is cut off; minutes long.

Two network namespaces are two machines; they share the file system, as machines of a cluster do.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.engine.disturbed import weights_of

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("POINTREND_KILLS", "15"))
ITERATIONS, PERIOD, TIMEOUT_S = 40, 4, 60
ADDRESSES = "10.77.0.1", "10.77.0.2"
pytestmark = pytest.mark.slow


class Job:
    """One torchrun."""

    def __init__(self, log, words, tool_words, prefix=()):
        self.log = log
        command = [*prefix, sys.executable, "-W", "ignore", "-m", "torch.distributed.run", *words]
        command += ["tools/train_net.py", "--timeout", str(TIMEOUT_S), *tool_words]
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)

    def text(self):
        return self.log.read_text(errors="replace")

    def workers(self):
        """Process ids of the ranks, in their order."""
        found, pids = [], [self.process.pid]
        while pids:
            line = ["pgrep", "-P", str(pids.pop())]
            children = [*map(int, subprocess.run(line, capture_output=True).stdout.split())]
            for pid in children:
                is_rank = b"-u" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2]
                (found if is_rank else pids).append(pid)
        return sorted(found)

    def end(self, timeout):
        try:
            return self.process.wait(timeout)
        finally:
            self.process.kill()


def last(folder):
    tag = folder / "last_checkpoint"
    return tag.read_text() if tag.is_file() else ""


def wait_until(condition, job, seconds=400):
    end = time.monotonic() + seconds
    while not condition():
        assert job.process.poll() is None, job.text()[-3000:]
        assert time.monotonic() < end, job.text()[-3000:]
        time.sleep(0.1)


@pytest.fixture
def words(tiny_run):
    args = tiny_run()
    pairs = {"SOLVER.MAX_ITER": ITERATIONS, "SOLVER.CHECKPOINT_PERIOD": PERIOD, "SEED": 3}
    pairs |= {"SOLVER.IMS_PER_BATCH": 4, "DATASETS.TEST": "()"}
    opts = [*args.opts, *(word for pair in pairs.items() for word in pair)]

    def of(folder, *more):
        options = ["--config-file", args.config_file, *more]
        return [*options, *map(str, opts), "OUTPUT_DIR", str(folder)]

    return of


def assert_same_weights(folder, other):
    one, two = (weights_of(f / "model_final.pth") for f in (folder, other))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


def test_killed_ranks_are_started_again(words, tmp_path, capsys):
    """At random moments; the weights are those of a run that was left alone."""
    whole, cut, draw = tmp_path / "whole", tmp_path / "cut", random.Random(4)
    assert Job(tmp_path / "whole.txt", ["--nproc_per_node", "2"], words(whole)).end(900) == 0
    options = ["--nproc_per_node", "2", "--max-restarts", str(KILLS)]
    job = Job(tmp_path / "cut.txt", options, words(cut))
    moments = []
    for number in range(KILLS):
        wait_until(lambda n=number: job.text().count("Starting training from") > n, job)
        time.sleep(draw.uniform(0, 3))
        if job.process.poll() is not None:
            break  # it was faster
        os.kill(draw.choice(job.workers()), signal.SIGKILL)
        moments.append(last(cut))
    assert job.end(1200) == 0, job.text()[-3000:]
    with capsys.disabled():
        print(f"\nkilled after {moments}")
    assert_same_weights(whole, cut)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_is_lost_is_named(words, tmp_path, number, capsys):
    """A killed one within seconds, a hanging one after the time limit and what torchrun needs."""
    job = Job(tmp_path / "log.txt", ["--nproc_per_node", "2"], words(tmp_path / "run"))
    wait_until(lambda: last(tmp_path / "run"), job)
    workers = job.workers()
    os.kill(workers[1], number)
    start = time.monotonic()
    assert job.end(TIMEOUT_S + 90) != 0
    seconds = time.monotonic() - start
    said = re.findall(r"Error: Killed, hanging or cut off: process 1 \(pid (\d+) on", job.text())
    assert said == [str(workers[1])]
    with capsys.disabled():
        print(f"\n{number.name}: torchrun ended after {seconds:.0f} s")


@pytest.fixture
def machines():
    """Two network namespaces with a cable between them."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root and iproute2")

    def ip(*line):
        subprocess.run(["ip", *line], check=True)

    names = [f"pr{os.getpid()}{letter}" for letter in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        cable = f"type veth peer name c0 netns {names[1]}".split()
        ip("-n", names[0], "link", "add", "c0", *cable)
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "c0")
            ip("-n", name, "link", "set", "c0", "up")
        yield names, lambda state: ip("-n", names[1], "link", "set", "c0", state)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def start_on(machines, words, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "c0")

    def start(number, folder, *more, log=""):
        options = ["--nnodes", "2", "--nproc_per_node", "2", "--max-restarts", "3"]
        options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:29511"]
        options += ["--rdzv-id", folder.name, "--local-addr", ADDRESSES[number]]
        options += ["--rdzv-conf", f"is_host={number == 0}"]  # the host's name is not that address
        prefix = ["ip", "netns", "exec", machines[0][number]]
        file = tmp_path / f"{folder.name}{number}{log}.txt"
        return Job(file, options, words(folder, *more), prefix)

    return start


def test_a_machine_that_is_cut_off(machines, start_on, words, tmp_path, capsys):
    """Both notice it, and the training goes on when it is back; the numbers are the same."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    jobs = [start_on(number, whole) for number in range(2)]
    assert [job.end(900) for job in jobs] == [0, 0], jobs[0].text()[-3000:]

    jobs = [start_on(number, cut, "--resume") for number in range(2)]
    wait_until(lambda: last(cut), jobs[0])
    set_cable = machines[1]
    set_cable("down")
    start = time.monotonic()
    said = r"Error: (Killed, hanging or cut off|Process 0, or the network to).*"
    wait_until(lambda: re.search(said, jobs[0].text()), jobs[0], TIMEOUT_S + 60)
    here = time.monotonic() - start
    there = re.search(said, jobs[1].text())
    with capsys.disabled():
        print(f"\nnoticed after {here:.0f} s: {re.search(said, jobs[0].text())[0]}\n{there}")
    code = jobs[1].end(TIMEOUT_S + 200)
    assert code != 0
    assert re.search(said, jobs[1].text()), jobs[1].text()[-3000:]
    set_cable("up")
    back = start_on(1, cut, "--resume", log="_back")
    assert [jobs[0].end(900), back.end(60)] == [0, 0], jobs[0].text()[-3000:]
    assert "Starting training from iteration 0" in jobs[0].text()
    assert re.search(r"Starting training from iteration [1-9]", jobs[0].text())
    assert_same_weights(whole, cut)
