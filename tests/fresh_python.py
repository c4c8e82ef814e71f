"""Python processes that have imported some libraries already, and nothing of this package.

A process of its own needs seconds to import torch and Detectron2. Here one process does so once,
and a fork of it runs each script, which finds what it imports itself as in a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = tuple(f"detectron2.{part}" for part in ("engine", "evaluation", "export", "modeling"))
SERVER = """
import importlib, json, os, runpy, sys
sys.argv = ["-c"]
for name in PRELOAD:
    importlib.import_module(name)
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        continue
    for number, key in enumerate(("null", "out", "err")):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        os.dup2(os.open(job[key], flags), number)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.path[:0] = [path for path in job["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = job["argv"]
    code = 1
    try:
        if job["code"] is None:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            exec(compile(job["code"], "<string>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
"""


@lru_cache
def _server(preload: tuple[str, ...]) -> subprocess.Popen:
    # Not from the checkout, and without its variables: a script states its own.
    command = [sys.executable, "-W", "ignore", "-c", SERVER.replace("PRELOAD", repr(preload))]
    return subprocess.Popen(
        command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def run_fresh(
    code: str | None,
    *argv: str,
    preload: tuple[str, ...] = LIBRARIES,
    cwd: str | Path = ROOT,
    **env: str,
) -> subprocess.CompletedProcess:
    """Run code, or with None the module ``argv[0]``, as ``python -W ignore -c`` and ``-m`` do.

    ``preload`` is imported before; ``env`` are variables beside those of this process. Those that a
    library reads when it is imported must be those of this process.
    """
    server = _server(preload)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        job = {"code": code, "argv": [*argv] if code is None else ["-c", *argv], "cwd": str(cwd)}
        job |= {"out": str(out), "err": str(err), "null": os.devnull}
        job["env"] = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        code_of_exit = int(server.stdout.readline())
        return subprocess.CompletedProcess(argv, code_of_exit, out.read_text(), err.read_text())
