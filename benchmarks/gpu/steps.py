"""Steps of a measurement whose time is short: each is kept as soon as it ends."""

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Settings", "Step", "run_steps"]


@dataclass(frozen=True)
class Settings:
    """What every step is told.

    Attributes:
        device: "cuda" or "cpu".
        tiny: sizes that a CPU runs in seconds, to find errors of the script.
        rounds: measured ones, of which the median is taken.
    """

    device: str
    tiny: bool
    rounds: int


@dataclass(frozen=True)
class Step:
    """One measurement.

    Attributes:
        part: list of the command line that it belongs to.
        name: of its result; unique.
        budget_s: seconds that it may take; it is not begun with less left.
        run: returns what JSON can hold.
        needs_cuda: whether it has no form for a CPU.
    """

    part: str
    name: str
    budget_s: float
    run: Callable[[Settings], dict[str, Any]] = field(repr=False)
    needs_cuda: bool = False


def run_steps(
    steps: Sequence[Step],
    settings: Settings,
    folder: Path,
    total_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[dict[str, Any]]:
    """Run the steps whose result the folder does not hold.

    A result is "done", "skipped" (it has no form for this device), "failed" (with the error; the
    others are run all the same) or "no time". The first two are final, the others are tried again.

    Args:
        steps: in order of worth.
        settings: of all steps; results of other settings are not taken for these.
        folder: for ``NAME.json`` of each step; made if it is missing.
        total_s: seconds for all.
        clock: monotonic, in seconds.

    Returns:
        The results, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    begin, records = clock(), []
    for step in steps:
        path = folder / f"{step.name}.json"
        record = _kept(path, settings)
        if record is None:
            left_s = total_s - (clock() - begin)
            record = _attempt(step, settings, left_s, clock)
            partial = path.with_suffix(".part")
            partial.write_text(json.dumps(record, indent=1))
            partial.replace(path)  # a stop leaves no half of a file
            print(_line(record), flush=True)
        records.append(record)
    return records


def _kept(path: Path, settings: Settings) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    record = json.loads(path.read_text())
    is_same = record["device"] == settings.device and record["tiny"] == settings.tiny
    return record if is_same and record["status"] in ("done", "skipped") else None


def _attempt(
    step: Step, settings: Settings, left_s: float, clock: Callable[[], float]
) -> dict[str, Any]:
    about: dict[str, Any] = {"part": step.part, "name": step.name}
    about |= {"device": settings.device, "tiny": settings.tiny}
    if step.needs_cuda and settings.device == "cpu":
        return {**about, "status": "skipped", "why": "needs CUDA"}
    if left_s < step.budget_s:
        why = f"needs up to {step.budget_s:.0f} s, {max(left_s, 0):.0f} s are left"
        return {**about, "status": "no time", "why": why}
    begin = clock()
    try:
        outcome = {"status": "done", "result": step.run(settings)}
    except Exception as error:  # the time of a GPU is short: the other steps are worth having
        traceback.print_exc()
        outcome = {"status": "failed", "why": f"{type(error).__name__}: {error}"}
    return {**about, **outcome, "seconds": round(clock() - begin, 2)}


def _line(record: dict[str, Any]) -> str:
    about = record["why"] if "why" in record else json.dumps(record["result"])
    return f"{record['status']}: {record['name']}: {about}"
