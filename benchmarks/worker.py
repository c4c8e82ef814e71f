"""One form of one case in a process of its own: for its memory alone, or of another checkout."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import measure, options

__all__ = ["ROOT", "Job", "Worker"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """What a worker runs.

    Attributes:
        module: that has the case, such as ``benchmarks.instances``.
        words: the command line of that module, which cases may depend on.
        title: of the case.
        form: its form.
        threads: of the processor.
        checkout: folder whose ``pointrend_ext`` is run; the cases are always those of here.
    """

    module: str
    words: Sequence[str]
    title: str
    form: str
    threads: int
    checkout: str = str(ROOT)


class Worker:
    """A process that runs its form whenever it is asked to; to be used in ``with``."""

    def __init__(self, job: Job, environment: Mapping[str, str] | None = None) -> None:
        """Start the process, with more variables in its environment."""
        words = [sys.executable, "-W", "ignore", "-m", "benchmarks.worker", json.dumps(asdict(job))]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._job = job
        self._process = subprocess.Popen(
            words,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()  # closes its input, which ends it

    def ask(self, what: str) -> float:
        """Return the seconds of one run for "time", the extra MiB of one run for "memory".

        Raises:
            RuntimeError: the process failed; it has printed why.
        """
        print(what, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline() if self._process.stdout else ""
        if not answer:
            raise RuntimeError(
                f"{self._job.title}, {self._job.form} of {self._job.checkout} failed"
            )
        return float(answer)


def serve(job: Job) -> None:
    """Answer on standard output what is asked on standard input, line by line."""
    _import_package(job.checkout)
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed goes elsewhere
    options.limit_threads(job.threads)
    arguments, cases = options.parse(importlib.import_module(job.module), job.words)
    (case,) = (case for case in cases if case.title == job.title)
    forms = case.build(arguments.device)
    run, is_warm = forms.run[job.form], not case.warm_memory
    for line in sys.stdin:
        forms.prepare(job.form)
        if line.strip() == "time":
            answer, result = measure.timed(run, arguments.device)
            del result
        else:
            if not is_warm:
                run()
            answer = measure.peak_extra_mib(run, arguments.device)
        is_warm = True
        print(answer, file=answers, flush=True)


def _import_package(checkout: str) -> None:
    """Import ``pointrend_ext`` of a checkout, whichever one is installed.

    Raises:
        ImportError: another one came, such as the installed one, because the checkout has none.
    """
    sys.path.insert(0, checkout)
    package = importlib.import_module("pointrend_ext")
    sys.path.pop(0)
    file = str(package.__file__)
    if not Path(file).resolve().is_relative_to(Path(checkout).resolve()):
        raise ImportError(f"{checkout} has no pointrend_ext; {file} was found instead.")


if __name__ == "__main__":
    serve(Job(**json.loads(sys.argv[1])))
