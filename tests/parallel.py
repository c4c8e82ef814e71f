"""Running a function in several processes with a gloo group, for tests."""

import multiprocessing
import os
import tempfile
import time
import traceback
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from detectron2.utils import comm

from pointrend_ext.processes import enter_group

_CONTEXT = multiprocessing.get_context("forkserver")  # forked from a process that did nothing yet
_CONTEXT.set_forkserver_preload(["pointrend_ext.engine"])


def in_processes(number, function, *args, timeout=120, group_timeout=60, machines=1):
    """Return what ``function(*args)``, importable, returns in each of some processes, by rank.

    An exception is raised as RuntimeError with its traceback; a process that dies is None.
    """
    with tempfile.TemporaryDirectory() as folder:
        setting = (number, number // machines, folder, group_timeout, dict(os.environ), os.getcwd())
        processes = [
            _CONTEXT.Process(target=_run, args=(rank, setting, function, args))
            for rank in range(number)
        ]
        for process in processes:
            process.start()
        end = time.monotonic() + timeout
        for process in processes:
            process.join(max(0, end - time.monotonic()))
        hanging = [rank for rank, process in enumerate(processes) if process.is_alive()]
        for process in processes:
            process.kill()
            process.join()
        assert not hanging, f"processes {hanging} hang"
        found = [Path(folder, f"{rank}.pt") for rank in range(number)]
        results = [torch.load(f, weights_only=False) if f.exists() else None for f in found]
    for rank, result in enumerate(results):
        if isinstance(result, dict) and "traceback" in result:
            raise RuntimeError(f"process {rank}:\n{result['traceback']}")
    return results


def _run(rank, setting, function, args):
    number, local, folder, group_timeout, environ, cwd = setting
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)
    torch.set_num_threads(1)
    store, start = dist.FileStore(f"{folder}/store", number), timedelta(seconds=90)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=number, timeout=start)
    comm.create_local_process_group(local)
    comm.synchronize()  # starting takes as long as it takes
    timeout = timedelta(seconds=group_timeout)
    dist.distributed_c10d._set_pg_timeout(timeout)
    enter_group(timeout)
    try:
        result = function(*args)
    except Exception:
        result = {"traceback": traceback.format_exc()}
    torch.save(result, f"{folder}/{rank}.tmp")
    os.replace(f"{folder}/{rank}.tmp", f"{folder}/{rank}.pt")
    os._exit(0)
