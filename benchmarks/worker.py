"""One form of one case in a process of its own: for its memory alone, or of another checkout."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import measure, options

__all__ = ["ROOT", "Job", "worker"]

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """What a worker runs.

    Attributes:
        module, words: that has the case, such as ``benchmarks.instances``, and its command line.
        title, form: of the case.
        threads: of the processor.
        checkout: folder whose ``pointrend_ext`` is run; the cases are always those of here.
    """

    module: str
    words: Sequence[str]
    title: str
    form: str
    threads: int
    checkout: str = str(ROOT)


@contextmanager
def worker(
    job: Job, environment: Mapping[str, str] | None = None
) -> Iterator[Callable[[str], float]]:
    """Start a process, with more variables in its environment, that runs its form when asked.

    Yields:
        A function that takes "time" or "memory" and returns the seconds or extra MiB of one run. It
        raises a RuntimeError if the process failed, which has printed why.
    """
    words = [sys.executable, "-W", "ignore", "-m", "benchmarks.worker", json.dumps(asdict(job))]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    variables = {**os.environ, "PYTHONPATH": path, **(environment or {})}
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, env=variables, text=True, stdin=pipe, stdout=pipe)

    def ask(what: str) -> float:
        print(what, file=process.stdin, flush=True)
        answer = process.stdout.readline() if process.stdout else ""
        if not answer:
            raise RuntimeError(f"{job.title}, {job.form} of {job.checkout} failed")
        return float(answer)

    try:
        yield ask
    finally:
        process.communicate()  # closes its input, which ends it


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
    """Import ``pointrend_ext`` of a checkout, whichever one is installed."""
    sys.path.insert(0, checkout)
    package = importlib.import_module("pointrend_ext")
    sys.path.pop(0)
    file = str(package.__file__)
    if not Path(file).resolve().is_relative_to(Path(checkout).resolve()):
        raise ImportError(f"{checkout} has no pointrend_ext; {file} was found instead.")


if __name__ == "__main__":
    serve(Job(**json.loads(sys.argv[1])))
