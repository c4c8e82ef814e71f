"""One mutation: a copy of the project, the change, the run in a process of its own, the verdict."""

import faulthandler
import multiprocessing
import os
import re
import resource
import shutil
import traceback
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.base import build_project
from tests.fuzz.kinds import KINDS
from tests.fuzz.runs import Result, collected_notices

SECONDS = 20
_MEMORY = 6 << 30  # more than a process that has imported everything has mapped
GOOD = ("same", "same, with a notice", "other, with a notice", "means something else", "refused")
BAD = ("other, silently", "traceback", "refused, but not clearly", "hang", "crash")
_LONGEST = 1000  # characters of a sentence that somebody reads
_KEY = re.compile(r"\b([A-Z]+[._])+[A-Z]+\b|\bSEED\b")  # of a configuration
_FILE = re.compile(r"'[^']+\.(yaml|json|png|pth)'")
_TOTAL = re.compile(r" of \d+ \([\d.]+ ?%\)")
_DATA_SETS = ("fuzz_train", "fuzz_val", "'val'", "'predictions'")
_FOLDERS = ("train", "val", "train_labels", "val_labels", "predicted")


@dataclass(frozen=True)
class Outcome:
    """What became of one mutation.

    Attributes:
        verdict: one of ``GOOD`` or ``BAD``.
        change: what was mutated.
        detail: the message of an error, or where the result differs.
        notices: what was said that is not said of the project as it is.
    """

    kind: str
    seed: int
    verdict: str
    change: str
    detail: str = ""
    notices: list[str] = field(default_factory=list)

    @property
    def is_bad(self) -> bool:
        return self.verdict in BAD

    def text(self, *, notices: bool = False) -> str:
        shown = "".join(f"\n    notice: {n}" for n in self.notices) if notices else ""
        place = f"--kind '{self.kind}' --seed {self.seed}"
        return f"[{self.verdict}] {place}: {self.change}\n    {self.detail}{shown}"


class Fuzzer:
    """Mutates a small project of its own below a folder.

    The project lies at the same path each time, and a cache of checks of the right files lies
    beside it: who takes a changed file for the one that was checked is found out.
    """

    def __init__(self, folder: Path) -> None:
        self.right, self.project = folder / "right", folder / "project"
        build_project(self.right)
        os.environ["POINTREND_CACHE"] = str(self.project / "cache")
        os.environ["DETECTRON2_DATASETS"] = str(self.project)
        self._base: dict[str, tuple[Result, list[str]]] = {}

    def run(self, name: str, seed: int) -> Outcome:
        """Mutate, run and judge; nothing but ``name`` and ``seed`` decides what happens."""
        kind = KINDS[name]
        base, said = self._base_of(name)
        self._fresh_project()
        rng = Random(f"{name} {seed}")
        change = kind.mutators[seed % len(kind.mutators)](rng, self.project)
        answer = self._in_process(name)
        if isinstance(answer, str):
            verdict, _, detail = answer.partition(": ")
            return Outcome(name, seed, verdict, change, detail)
        result, notices = answer
        new = sorted(_lines_of(notices) - _lines_of(said))
        changed = [k for k in {**base, **result} if base.get(k) != result.get(k)]
        is_explained = bool(changed) and not new and self._explained(name, result)
        verdict = {
            (False, False): "same",
            (False, True): "same, with a notice",
            (True, True): "other, with a notice",
            (True, False): "means something else" if is_explained else "other, silently",
        }[bool(changed), bool(new)]
        shown = "; ".join(f"{k}: {base.get(k)} -> {result.get(k)}"[:300] for k in changed[:3])
        detail = f"{len(changed)} results differ: {shown}" if changed else ""
        return Outcome(name, seed, verdict, change, detail, new)

    def again(self, name: str) -> Outcome:
        """Run the project as it is a second time, with what the first left in the cache."""
        first = self._base_of(name)
        self._fresh_project()
        second = self._in_process(name)
        verdict = "same" if second == first else "other, silently"
        detail = "" if second == first else f"first: {first[1]}; then: {second[1:]}"[:_LONGEST]
        return Outcome(name, -1, verdict, "nothing, a second time", detail)

    def _base_of(self, name: str) -> tuple[Result, list[str]]:
        if name not in self._base:
            self._fresh_project()
            answer = self._in_process(name)
            assert not isinstance(answer, str), f"The project as it is, {name}: {answer}"
            self._base[name] = answer
            cache = self.project / "cache"
            if cache.is_dir():
                shutil.copytree(cache, self.right / "cache", dirs_exist_ok=True)
        return self._base[name]

    def _fresh_project(self) -> None:
        shutil.rmtree(self.project, ignore_errors=True)
        shutil.copytree(self.right, self.project)  # with the times of the files

    def _explained(self, name: str, result: Result) -> bool:
        try:
            return bool(KINDS[name].explains(self.project, result))
        except Exception:  # the oracle cannot read it: no other meaning
            return False

    def _in_process(self, name: str) -> tuple[Result, list[str]] | str:
        """Return result and notices, or the verdict and the message of what went wrong."""
        log = self.project.with_name("log.txt")
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(there, name, self.project, log))
        process.start()
        there.close()
        try:
            if not here.poll(SECONDS):
                return f"hang: after {SECONDS} s: {_tail(log)}"
            answer = here.recv()
        except EOFError:
            process.join()
            return f"crash: exit code {process.exitcode}: {_tail(log)}"
        finally:
            process.kill()
            process.join()
        return self._judged(answer) if isinstance(answer, _Failure) else answer

    def _judged(self, failure: "_Failure") -> str:
        """Tell a refusal in words from a traceback, as ``run_tool`` does."""
        if not failure.is_expected:
            return f"traceback: {failure.text} ({failure.place})"
        files = [path.name for path in self.right.rglob("*") if path.is_file()]
        names = [*files, *_DATA_SETS, *(str(self.project / file) for file in _FOLDERS)]
        is_placed = any(name in failure.text for name in names)
        is_placed |= bool(_KEY.search(failure.text) or _FILE.search(failure.text))
        is_clear = is_placed and len(failure.text) < _LONGEST
        return f"{'refused' if is_clear else 'refused, but not clearly'}: {failure.text}"


@dataclass
class _Failure(Exception):
    text: str
    is_expected: bool
    place: str

    def __reduce__(self) -> tuple:
        return _Failure, tuple(asdict(self).values())


def _lines_of(notices: list[str]) -> set[str]:
    """Return lines without what changes with any entry: the total, and the first place."""
    lines = (line for notice in notices for line in notice.splitlines())
    return {_TOTAL.sub("", line.partition("; first:")[0]).strip() for line in lines}


def _work(connection: Connection, name: str, project: Path, log: Path) -> None:
    """Run one kind in the forked process."""
    soft = max(_MEMORY, _mapped() + (3 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    os.chdir(project)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        faulthandler.enable(file)
        faulthandler.dump_traceback_later(SECONDS - 1, file=file)
        answer: Any
        try:
            with collected_notices() as notices:
                result = KINDS[name].run()
            answer = result, notices
        except SystemExit as error:
            answer = _Failure(f"exit code {error.code}", False, "")
        except BaseException as error:
            answer = _failure(error)
        connection.send(answer)
        connection.close()
        os._exit(0)


def _failure(error: BaseException) -> _Failure:
    is_bare = isinstance(error, KeyError) and " " not in str(error.args[:1])
    is_expected = isinstance(error, ValueError | OSError | KeyError) and not is_bare
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "pointrend_ext" in f.filename and "site-packages" not in f.filename]
    shown = [f"{Path(f.filename).name}:{f.lineno}" for f in (*own[-1:], frames[-1])]
    text = " ".join(str(error).split())
    text = text if is_expected else f"{type(error).__name__}: {text[:400]}"
    return _Failure(text, is_expected, " > ".join(dict.fromkeys(shown)))


def _mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _tail(log: Path) -> str:
    """Return what was written last: the frames of the main thread, the innermost first."""
    lines = log.read_text(errors="replace").splitlines()
    starts = [i for i, line in enumerate(lines) if "(most recent call first)" in line]
    frames = [line.strip() for line in lines[starts[-1] :] if '"' in line] if starts else []
    return " < ".join(frames[:6]) if frames else " ".join(lines[-3:])
