"""Which processes a run has, and what does not go together."""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from detectron2.engine import default_argument_parser
from torch.multiprocessing import ProcessExitedException

from pointrend_ext.engine import launching
from pointrend_ext.engine.command_line import run_tool
from pointrend_ext.engine.launching import add_process_arguments, run_processes

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "here",
    "MASTER_PORT": "29500",
}


@pytest.fixture
def parse(monkeypatch):
    for name in (*TORCHRUN, *launching._COUNTS, "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)

    def parse_words(*words):
        parser = default_argument_parser()
        add_process_arguments(parser)
        return parser.parse_args([*words])

    return parse_words


@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (["--num-processes", "0"], {}, "--num-processes is 0; it must be at least 1"),
        (["--timeout", "0"], {}, "--timeout is 0; it must be at least 1"),
        (["--num-gpus", "9"], {}, r"has 8.*--num-gpus 8.*--num-processes takes processors"),
        (["--num-gpus", "2", "--num-processes", "2"], {}, "do not go together"),
        (["--num-machines", "2", "--num-processes", "2"], {}, "do not go together"),
        (["--num-gpus", "2"], TORCHRUN, r"has started 4 .*--num-gpus 2 asks for more: leave that"),
        ([], {"SLURM_STEP_NUM_TASKS": "4"}, "srun has started 4 processes that do not know each"),
        ([], {"OMPI_COMM_WORLD_SIZE": "2"}, "mpirun has started 2 processes"),
        ([], {"RANK": "0", "WORLD_SIZE": "2"}, r"RANK, WORLD_SIZE set, but not LOCAL_RANK, LOCAL_"),
        ([], TORCHRUN | {"MASTER_PORT": ""}, "set, but not MASTER_PORT"),
        ([], TORCHRUN | {"RANK": "x"}, "RANK is 'x'; it must be a whole number"),
        ([], TORCHRUN | {"RANK": "4"}, "RANK is 4, but WORLD_SIZE is 4"),
        ([], TORCHRUN | {"LOCAL_RANK": "2"}, "LOCAL_RANK is 2, but LOCAL_WORLD_SIZE is 2"),
        ([], TORCHRUN | {"WORLD_SIZE": "5"}, "WORLD_SIZE is 5, no multiple of LOCAL_WORLD_SIZE 2"),
    ],
)
def test_what_does_not_go_together(parse, monkeypatch, words, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        run_processes("tool.py", pytest.fail, parse(*words))


def test_a_mistake_before_there_is_a_group_is_said_by_the_first_of_a_machine(monkeypatch, capsys):
    def wrong(args):
        raise ValueError("Set A to 1.")

    for rank, said in (("0", "t.py: Error: Set A to 1.\n"), ("1", "")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert run_tool(argparse.ArgumentParser("t.py"), wrong, []) == 2
        assert capsys.readouterr().err == said


@pytest.mark.parametrize("count", ["0", "2"])
@pytest.mark.parametrize("words", [(), ("--eval-only",)])
def test_a_training_that_was_restarted_goes_on(parse, monkeypatch, count, words):
    """A single process of torchrun needs no group."""
    for name in TORCHRUN:
        monkeypatch.setenv(name, "1" if name.endswith("SIZE") else "0")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
    got = []
    run_processes("tool.py", lambda args: got.append(args.resume), parse(*words))
    assert got == [count != "0" and not words]


@pytest.mark.parametrize(
    ("environment", "is_said"),
    [({}, True), ({"MAX_RESTARTS": "0"}, False), ({"USE_AGENT_STORE": "False"}, False)],
)
@pytest.mark.parametrize("size", ["2", "4"])
def test_whether_a_lost_machine_can_come_back(environment, is_said, size, monkeypatch, capsys):
    values = {"MAX_RESTARTS": "3", "USE_AGENT_STORE": "True"} | environment
    elastic = {f"TORCHELASTIC_{name}": value for name, value in values.items()}
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    launching._note_lost_machines("t.py", TORCHRUN | elastic | {"WORLD_SIZE": size})
    said = capsys.readouterr().err
    assert said.startswith("t.py: Note: a machine that is lost") == (is_said and size == "4")
    assert said.count("\n") == (is_said and size == "4")


def test_exit_codes_of_launch(parse, monkeypatch, capfd):
    ends = iter((2, 138, -9, -10, 2))

    def launch(*args, **kwargs):
        if kwargs["dist_url"] != "auto" or args[1] != 3 or os.environ["CUDA_VISIBLE_DEVICES"]:
            raise TypeError(args, kwargs)
        if (code := next(ends)) == -10:  # the processes are still being started
            os.kill(os.getpid(), signal.SIGTERM)
        raise ProcessExitedException("", 1, 17, code, signal_name="SIGKILL")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(launching, "launch", launch)
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1)}
    for expected in (2, 138, 1, 143, 2):
        assert run_processes("t.py", pytest.fail, parse("--num-processes", "3")) == expected
    for number, handler in before.items():
        signal.signal(number, handler)
    text = "t.py: Error: Process 1 (pid 17) was killed by SIGKILL; the others were ended.\n"
    assert capfd.readouterr().err == text


def test_launched_processes_start_workers_as_others_do(parse, monkeypatch):
    """Else ``launch``'s own way holds, which copies the records for each worker."""
    monkeypatch.setattr(launching, "enter_group", lambda timeout: None)
    own, found = multiprocessing.get_start_method(), []
    multiprocessing.set_start_method("spawn", force=True)
    try:
        with pytest.raises(SystemExit, match=r"^0$"):
            launching._run_launched(
                "t.py", lambda _: found.append(multiprocessing.get_start_method()), parse(),
                timedelta(1), "fork",
            )  # fmt: skip
    finally:
        multiprocessing.set_start_method(own, force=True)
    assert found == ["fork"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_processes_of_launch(tiny_run, tmp_path, number):
    """A signal to the program ends all of its processes; a killed one is named."""
    args = tiny_run("--num-gpus", "1")
    opts = [*args.opts, "SOLVER.MAX_ITER", 5000, "DATASETS.TEST", "()"]
    opts += ["DATALOADER.NUM_WORKERS", 2]
    command = [sys.executable, "-W", "ignore", "tools/train_net.py", "--num-processes", "2"]
    command += ["--config-file", args.config_file, *map(str, opts)]
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        end = time.monotonic() + 300
        while not (tmp_path / "run" / "last_checkpoint").exists():
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end
            time.sleep(0.2)
        if number == signal.SIGKILL:
            found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True).stdout
            os.kill(max(map(int, found.split())), number)
        else:
            process.send_signal(number)
        code = process.wait(120)
    finally:
        process.kill()
    said = log.read_text()
    if number == signal.SIGKILL:
        assert code == 1
        assert "was killed by SIGKILL; the others were ended" in said
    else:
        assert code == 128 + number
        assert said.count("The training was ended by") == 1
    assert "Traceback" not in said
