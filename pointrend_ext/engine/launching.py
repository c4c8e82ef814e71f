"""Starting the processes of a run: torchrun's, those of Detectron2's ``launch``, or one alone."""

import argparse
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from types import FrameType

import torch
import torch.distributed as dist
from detectron2.engine import launch
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException

from pointrend_ext._command import end_well
from pointrend_ext.engine.config_file import read_cfg
from pointrend_ext.processes import enter_group, fresh_store, say_once

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MARKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")  # the others may be set for something else
_COUNTS = {"SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun"}
_Work = Callable[[argparse.Namespace], object]


def add_process_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what Detectron2's parser lacks."""
    group = parser.add_argument_group("several processes (docs/distributed.md)")
    text = "processes on the processors of this machine, without GPUs"
    group.add_argument("--num-processes", type=int, default=1, metavar="N", help=text)
    text = "how long a process waits for the others before it gives them up (%(default)s)"
    group.add_argument("--timeout", type=int, default=1800, metavar="SECONDS", help=text)


def run_processes(name: str, work: _Work, args: argparse.Namespace) -> int:
    """Do the work in every process of the run.

    Args:
        name: of the program, for messages.
        work: gets the arguments, with ``resume`` set where torchrun has restarted a training;
            importable, for ``launch``.
        args: of Detectron2's parser with ``add_process_arguments``.

    Returns:
        The exit code, see ``_command.end_well``.

    Raises:
        ValueError: the numbers of processes do not fit each other, this machine, or what torchrun
            says.
    """
    started = any(mark in os.environ for mark in _MARKS)
    _check_arguments(args, os.environ if started else None)
    if started:
        if int(os.environ["WORLD_SIZE"]) == 1:
            return _restarting(work, args)
        _join(args)
        _note_lost_machines(name, os.environ)
        code = end_well(name, partial(_restarting, work, args))
        if code == 0:
            dist.destroy_process_group()
        return code
    if args.num_gpus * args.num_machines * args.num_processes > 1:
        return _launch(name, work, args)
    work(args)
    return 0


def check_num_gpus(num_gpus: int) -> None:
    """Raise ValueError where this machine has fewer."""
    available = torch.cuda.device_count()
    if num_gpus > max(available, 1):
        raise ValueError(
            f"--num-gpus is {num_gpus}, but this machine has {available}. Pass --num-gpus "
            f"{max(available, 1)}, and scale SOLVER.IMS_PER_BATCH and SOLVER.BASE_LR with it; "
            "--num-processes takes processors instead."
        )


def _check_arguments(args: argparse.Namespace, torchrun: Mapping[str, str] | None) -> None:
    for option in ("num_gpus", "num_processes", "num_machines", "timeout"):
        if getattr(args, option) < 1 - (option == "num_gpus"):
            flag = f"--{option.replace('_', '-')}"
            raise ValueError(f"{flag} is {getattr(args, option)}; it must be at least 1.")
    asked = {
        f"--{option.replace('_', '-')} {getattr(args, option)}"
        for option in ("num_gpus", "num_processes", "num_machines")
        if getattr(args, option) > 1
    }
    if torchrun is not None:
        if asked:
            raise ValueError(
                f"torchrun has started {torchrun.get('WORLD_SIZE', 'several')} processes (RANK or "
                f"WORLD_SIZE is set), and {' '.join(sorted(asked))} asks for more: leave that out, "
                "or start without torchrun."
            )
        _check_variables(torchrun)
        return
    if "--num-processes" in " ".join(asked) and len(asked) > 1:
        raise ValueError(
            f"{' and '.join(sorted(asked))} do not go together: --num-processes is for one machine "
            "without GPUs; use torchrun for several machines."
        )
    check_num_gpus(args.num_gpus)
    for variable, program in _COUNTS.items():
        if os.environ.get(variable, "1") != "1" and args.num_machines == 1:
            raise ValueError(
                f"{program} has started {os.environ[variable]} processes that do not know each "
                f"other ({variable}): start torchrun in one process per machine "
                "(docs/distributed.md), or set " + ", ".join(_VARIABLES) + " in each."
            )


def _check_variables(torchrun: Mapping[str, str]) -> None:
    """Raise ValueError where the environment is not as torchrun makes it."""
    missing = [name for name in _VARIABLES if not torchrun.get(name)]
    if missing:
        there = ", ".join(name for name in _VARIABLES if torchrun.get(name))
        raise ValueError(
            f"{there} set, but not {', '.join(missing)}: start with torchrun, which sets them, or "
            "unset them for a single process."
        )
    numbers = {}
    for name in (*_VARIABLES[:4], "MASTER_PORT"):
        if not torchrun[name].isdecimal():
            raise ValueError(f"{name} is {torchrun[name]!r}; it must be a whole number from 0.")
        numbers[name] = int(torchrun[name])
    for rank, size in (("RANK", "WORLD_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")):
        if numbers[rank] >= numbers[size]:
            raise ValueError(f"{rank} is {numbers[rank]}, but {size} is {numbers[size]}.")
    if numbers["WORLD_SIZE"] % numbers["LOCAL_WORLD_SIZE"]:
        raise ValueError(
            f"WORLD_SIZE is {numbers['WORLD_SIZE']}, no multiple of LOCAL_WORLD_SIZE "
            f"{numbers['LOCAL_WORLD_SIZE']}: start as many processes on each machine."
        )


def _join(args: argparse.Namespace) -> None:
    """Make the process group of the processes that torchrun has started, as ``launch`` makes it."""
    local_rank, local_size = (int(os.environ[f"LOCAL_{name}"]) for name in ("RANK", "WORLD_SIZE"))
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        on_gpus = read_cfg(args.config_file, args.opts)[0].MODEL.DEVICE.startswith("cuda")
    if on_gpus:
        number = torch.cuda.device_count()
        if local_size > number:
            raise ValueError(
                f"torchrun has started {local_size} processes on this machine, which has {number} "
                f"GPUs: --nproc_per_node {number}, or MODEL.DEVICE cpu. (Each process must see "
                "the GPUs of all: CUDA_VISIBLE_DEVICES.)"
            )
        torch.cuda.set_device(local_rank)
    timeout = timedelta(seconds=args.timeout)
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=timeout))
        store = fresh_store(store, rank, size, timeout)
        dist.init_process_group(
            "nccl" if on_gpus else "gloo", store=store, rank=rank, world_size=size, timeout=timeout
        )
    except (dist.DistError, RuntimeError) as error:
        where = os.environ["MASTER_ADDR"]
        raise ValueError(
            f"The {os.environ['WORLD_SIZE']} processes did not find each other at {where}:"
            f"{os.environ['MASTER_PORT']} within {args.timeout} s: {str(error).splitlines()[0]}"
        ) from error
    comm.create_local_process_group(local_size)
    enter_group(timeout)
    comm.synchronize()


def _note_lost_machines(name: str, torchrun: Mapping[str, str]) -> None:
    """Say where torchrun would start the processes again, but not with a machine that comes back.

    A new torchrun is never told where the first process is, since its address is written once:
    https://github.com/pytorch/pytorch/issues/135712.
    """
    is_one_machine = torchrun["WORLD_SIZE"] == torchrun["LOCAL_WORLD_SIZE"]
    is_shared = torchrun.get("TORCHELASTIC_USE_AGENT_STORE", "") == "True"
    if is_shared and not is_one_machine and torchrun.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        say_once(
            f"{name}: Note: a machine that is lost cannot come back to this run: set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun on each (docs/distributed.md)."
        )


def _restarting(work: _Work, args: argparse.Namespace) -> int:
    """Do the work; a training that torchrun has restarted goes on from its last checkpoint."""
    count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if max(comm.all_gather(count)) != "0" and not args.eval_only:
        args.resume = True  # another machine may have come anew
    return _together(work, args)


def _together(work: _Work, args: argparse.Namespace) -> int:
    """Do the work; the first process, which may hold the store of all, does not leave before."""
    work(args)
    comm.synchronize()
    return 0


def _launch(name: str, work: _Work, args: argparse.Namespace) -> int:
    """Start one process per GPU, or ``--num-processes``, and wait for them."""
    if args.num_processes > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of the processes that are started
    came: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        """Let the processes, which end together, know of a signal to this one."""
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGUSR1)
        came.append(number)
        signal.signal(number, signal.SIG_DFL)

    if hasattr(signal, "SIGUSR1"):  # not on Windows
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, pass_on)
    timeout = timedelta(seconds=args.timeout)
    is_default = args.num_machines == 1 and args.dist_url.startswith("tcp://127.0.0.1:")
    try:
        launch(
            _run_launched,
            max(args.num_gpus, args.num_processes),
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url="auto" if is_default else args.dist_url,
            args=(name, work, args, timeout, multiprocessing.get_start_method()),
            timeout=timeout,
        )
    except ProcessExitedException as error:
        if came and not 0 < error.exit_code <= 128:  # below 0: before it could end well
            return 128 + came[0]
        if error.exit_code > 0:  # what it had to say it has said
            return error.exit_code
        pid = vars(error).get("pid") or error.error_pid  # the former in torch 2.4
        say_once(
            f"{name}: Error: Process {error.error_index} (pid {pid}) was killed by "
            f"{error.signal_name}; the others were ended."
        )
        return 1
    return 0


def _run_launched(
    name: str, work: _Work, args: argparse.Namespace, timeout: timedelta, start_method: str
) -> None:
    # That of `launch`, for which each worker of a loader would get copies, holds until it is set.
    multiprocessing.set_start_method(start_method, force=True)
    enter_group(timeout)
    sys.exit(end_well(name, partial(_together, work, args)))
