"""torchrun: ranks that are killed or hang, and a machine that is cut off; minutes long.

Two network namespaces are two machines; they share the file system, as machines of a cluster do.
"""

import json
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

from pointrend_ext.data.toy import generate_toy_data
from tests.engine.disturbed import weights_of

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("POINTREND_KILLS", "15"))
PERIOD, TIMEOUT_S, NAMING_S = 4, 60, 30
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
    """Words of a training's command line in a folder; it ends after 40 iterations."""
    args = tiny_run()
    pairs = {"SOLVER.MAX_ITER": 40, "SOLVER.CHECKPOINT_PERIOD": PERIOD, "SEED": 3}
    pairs |= {"SOLVER.IMS_PER_BATCH": 4, "DATASETS.TEST": "()"}
    opts = [*args.opts, *(word for pair in pairs.items() for word in pair)]

    def of(folder, *more):
        options = ["--config-file", args.config_file, *(w for w in more if w.startswith("-"))]
        keys = [w for w in more if not w.startswith("-")]
        return [*options, *map(str, opts), *keys, "OUTPUT_DIR", str(folder)]

    return of


def assert_same_weights(folder, other):
    one, two = (weights_of(f / "model_final.pth") for f in (folder, other))
    for name, value in one.items():
        assert torch.equal(value, two[name]), name


def test_killed_ranks_are_started_again(words, tmp_path, capsys):
    """At random moments, up to three checkpoints after a start; nothing of it is to be seen.

    A checkpoint takes much of the time of its period: it is hit as well.
    """
    whole, cut, draw = tmp_path / "whole", tmp_path / "cut", random.Random(4)
    opts = "SOLVER.MAX_ITER", str(PERIOD * (2 * KILLS + 5))
    job = Job(tmp_path / "whole.txt", ["--nproc_per_node", "2"], words(whole, *opts))
    assert job.end(900) == 0, job.text()[-3000:]
    written = sorted(path.stat().st_mtime for path in whole.glob("model_0*.pth"))
    period_s = (written[-1] - written[0]) / (len(written) - 1)

    options = ["--nproc_per_node", "2", "--max-restarts", str(KILLS)]
    job = Job(tmp_path / "cut.txt", options, words(cut, *opts))
    moments = []
    for number in range(KILLS):
        wait_until(lambda n=number: job.text().count("Starting training from") > n, job)
        time.sleep(draw.uniform(0, 3 * period_s))
        os.kill(draw.choice(job.workers()), signal.SIGKILL)
        moments.append(last(cut).strip("model_.pth"))
    assert job.end(900) == 0, job.text()[-3000:]
    with capsys.disabled():
        print(f"\n{len(moments)} kills, {period_s:.1f} s per checkpoint, after {moments}")
    assert len(moments) == KILLS
    assert job.text().count("Killed, hanging or cut off: process") == KILLS
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
        for name in names:  # how often TCP asks again before it gives up: 100 s, not 15 minutes
            ip("netns", "exec", name, "sh", "-c", "echo 8 > /proc/sys/net/ipv4/tcp_retries2")
        yield names, lambda state: ip("-n", names[1], "link", "set", "c0", state)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def start_on(machines, words, tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "c0")
    # Else a torchrun that comes back never learns where the first process is.
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")

    def start(number, folder, *more, log=""):
        options = ["--nnodes", "2", "--nproc_per_node", "2", "--max-restarts", "3"]
        options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:29511"]
        options += ["--rdzv-id", folder.name, "--local-addr", ADDRESSES[number]]
        options += ["--rdzv-conf", f"is_host={number == 0}"]  # the host's name is not that address
        prefix = ["ip", "netns", "exec", machines[0][number]]
        file = tmp_path / f"{folder.name}{number}{log}.txt"
        # An evaluation that takes seconds.
        tested = "DATASETS.TEST", "('toy_val',)", "INPUT.MIN_SIZE_TEST", "512"
        return Job(file, options, words(folder, *more, *tested), prefix)

    return start


SAID = r"Error: (Killed, hanging or cut off|Process 0, or the network to|No sign of life).*"


class Cable:
    """What two jobs of one run lose for a while."""

    def __init__(self, jobs, set_cable, start_again):
        self.jobs, self.set, self.start_again = jobs, set_cable, start_again

    def cut(self, work_s):
        """Both sides end with an error within the time; the first starts its processes again.

        Args:
            work_s: for which processes may compute before they wait for each other.
        """
        said = [len(re.findall(SAID, job.text())) for job in self.jobs]
        self.set("down")
        start, seconds = time.monotonic(), []
        for job, before in zip(self.jobs, said, strict=True):
            wait_until(lambda j=job, n=before: len(re.findall(SAID, j.text())) > n, job, 300)
            seconds.append(time.monotonic() - start)
        texts = [[*re.finditer(SAID, job.text())][-1][0] for job in self.jobs]
        assert max(seconds) < work_s + TIMEOUT_S + NAMING_S, (seconds, texts)
        assert self.jobs[1].end(TIMEOUT_S + 90) != 0
        ended = time.monotonic() - start
        self.set("up")
        self.jobs[1] = self.start_again()
        return [*zip(map(round, seconds), texts, strict=True), f"torchrun ended: {ended:.0f} s"]


def test_a_machine_that_is_cut_off(machines, start_on, tmp_path, monkeypatch, capsys):
    """In training and in the evaluation after it: the numbers are those without a cut."""
    generate_toy_data(tmp_path, num_train=8, num_val=48)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    jobs = [start_on(number, whole) for number in range(2)]
    assert [job.end(900) for job in jobs] == [0, 0], jobs[0].text()[-3000:]
    took = re.search(r"Total inference time: 0:(\d+):(\d+)", jobs[0].text())
    inference_s = 60 * int(took[1]) + int(took[2])

    jobs = [start_on(number, cut, "--resume") for number in range(2)]
    names = iter(("_back", "_again"))
    cable = Cable(jobs, machines[1], lambda: start_on(1, cut, "--resume", log=next(names)))
    wait_until(lambda: last(cut), jobs[0])
    report = cable.cut(0)
    assert jobs[0].text().count("Starting training from iteration") == 1
    wait_until(lambda: "Start inference on" in jobs[0].text(), jobs[0])
    report += cable.cut(3 * inference_s)
    assert [job.end(900) for job in cable.jobs] == [0, 0], jobs[0].text()[-3000:]
    with capsys.disabled():
        print("", *report, sep="\n")
    starts = re.findall(r"Starting training from iteration (\d+)", jobs[0].text())
    assert len(starts) == 3
    assert int(starts[0]) == 0 < int(starts[1]) < int(starts[2]) == 40
    assert_same_weights(whole, cut)
    files = [f / "inference" / "coco_instances_results.json" for f in (whole, cut)]
    assert files[0].read_bytes() == files[1].read_bytes() != b"[]"
    rows = [json.loads((f / "metrics.json").read_text().splitlines()[-1]) for f in (whole, cut)]
    of_images = [{k: str(v) for k, v in row.items() if "AP" in k} for row in rows]  # some are NaN
    assert of_images[0] == of_images[1] != {}
