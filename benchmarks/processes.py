"""A run of several processes on one machine: the memory of its start, the speed of its training.

``startup`` loads a file as large as COCO's as a training does: read by one process for all, or, as
"apart" says, by each for itself. ``throughput`` trains the toy model with one thread per process.
"""

import argparse
import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data.datasets import register_coco_instances
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from benchmarks.annotation_file import COCO_IMAGES, write_annotation_file
from benchmarks.report import markdown_table
from pointrend_ext.data import build_train_loader, check_datasets, shared_records
from pointrend_ext.data.coco import file as coco_file
from pointrend_ext.data.coco import share_summaries
from pointrend_ext.engine import Trainer, load_cfg, setup_cfg
from pointrend_ext.processes import enter_group, first_on_machine

__all__ = ["in_group", "main"]

_NAME = "benchmark of several processes"
_TIMEOUT = timedelta(hours=2)
_WARM_UP, _ITERATIONS = 3, 15
_READ_BY = ("one for all", "each for itself")


def in_group(number: int, work: Callable[[], Any]) -> tuple[list[Any], float]:
    """Work in new processes of one thread, which know each other.

    Returns:
        What each returns, and the most memory that they had together, in MiB: resident pages, of
        which each counts once (PSS).
    """
    context = mp.get_context("spawn")
    results = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(target=_join, args=(rank, number, f"{folder}/store", work, results))
            for rank in range(number)
        ]
        for process in processes:
            process.start()
        peak = 0.0
        while any(process.is_alive() for process in processes):
            peak = max(peak, sum(_pss_mib(process.pid or 0) for process in processes))
            time.sleep(0.2)
    if any(process.exitcode for process in processes):
        raise RuntimeError("a process failed, which has printed why")
    return [results.get() for _ in processes], peak


def _join(rank: int, number: int, store: str, work: Callable[[], Any], results: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, number), rank=rank, world_size=number, timeout=_TIMEOUT
    )
    comm.create_local_process_group(number)
    enter_group(_TIMEOUT)
    comm.synchronize()
    results.put(work())
    comm.synchronize()


def _pss_mib(pid: int) -> float:
    with contextlib.suppress(OSError):  # it has ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _start(file: str, cache: str, apart: bool) -> float:
    """Load a data set as the start of a training does; return the seconds."""
    os.environ["POINTREND_CACHE"] = cache
    cfg = load_cfg("COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml")
    cfg.DATASETS.TRAIN, cfg.SOLVER.IMS_PER_BATCH = (_NAME,), comm.get_world_size()
    register_coco_instances(_NAME, {}, file, ".")
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        if apart:
            for module in (shared_records, coco_file):
                stack.enter_context(mock.patch.object(module, "once_per_machine", lambda f: f()))
        with first_on_machine():
            if apart or comm.get_local_rank() == 0:
                check_datasets(cfg, [_NAME])
        share_summaries()
        loader = build_train_loader(cfg)
    seconds = time.perf_counter() - begin
    time.sleep(0.5)  # in which the memory is looked at
    del loader
    return seconds


def _train(folder: str, images: int) -> float:
    """Train some iterations; return the seconds of one."""
    words = ["--config-file", "Toy/pointrend_rcnn_toy.yaml", "SOLVER.IMS_PER_BATCH", str(images)]
    words += ["OUTPUT_DIR", folder, "DATASETS.TEST", "()", "DATALOADER.NUM_WORKERS", "0"]
    with contextlib.redirect_stdout(io.StringIO()), EventStorage():
        trainer = Trainer(setup_cfg(default_argument_parser().parse_args(words)))
        trainer.iter = 0
        for number in range(_WARM_UP + _ITERATIONS):
            if number == _WARM_UP:
                comm.synchronize()
                begin = time.perf_counter()
            trainer._trainer.run_step()
        comm.synchronize()
    return (time.perf_counter() - begin) / _ITERATIONS


def _startup(arguments: argparse.Namespace) -> list[list[str]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/annotations.json"
        write_annotation_file(Path(file), int(arguments.scale * COCO_IMAGES))
        for number in arguments.processes:
            for form in arguments.read_by[: 1 + (number > 1)]:  # one process is all
                cache, apart = tempfile.mkdtemp(dir=folder), form == "each for itself"
                seconds, peak = in_group(number, partial(_start, file, cache, apart))
                rows.append([str(number), form, f"{max(seconds):.1f}", f"{peak:.0f}"])
    print(markdown_table(["processes", "read by", "seconds", "MiB together, at most"], rows))
    return rows


def _throughput(arguments: argparse.Namespace) -> list[list[str]]:
    rows: list[list[str]] = []
    for number in arguments.processes:
        with tempfile.TemporaryDirectory() as folder:
            images = number * arguments.images
            seconds, _ = in_group(number, partial(_train, folder, images))
        rows.append(
            [str(number), str(images), f"{max(seconds):.3f}", f"{images / max(seconds):.2f}"]
        )
    print(markdown_table(["processes", "images", "s per iteration", "images per s"], rows))
    return rows


def main(words: Sequence[str] | None = None) -> list[list[str]]:
    """Measure, print the table and return its rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    for name, work, numbers in (
        ("startup", _startup, (1, 4)),
        ("throughput", _throughput, (1, 2, 4)),
    ):
        command = commands.add_parser(name)
        command.set_defaults(work=work)
        command.add_argument("--processes", type=int, nargs="+", default=numbers, metavar="N")
    text = "of COCO's 118,000 images (%(default)s)"
    startup = commands.choices["startup"]
    startup.add_argument("--scale", type=float, default=1.0, help=text)
    text = "the second needs 20 GiB for 4 processes and the whole of COCO (%(default)s)"
    startup.add_argument("--read-by", nargs="+", choices=_READ_BY, default=_READ_BY, help=text)
    text = "per process and iteration (%(default)s)"
    commands.choices["throughput"].add_argument("--images", type=int, default=1, help=text)
    arguments = parser.parse_args(words)
    return arguments.work(arguments)


if __name__ == "__main__":
    main()
