"""What only a GPU can tell: parity, speed, memory, waits of the host, kernels, training.

Results are written one by one, as JSON; a second call goes on where the first one stopped.
"""

import argparse
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu import compiled, counts, short_training, speed
from benchmarks.gpu.report import markdown
from benchmarks.gpu.steps import Settings, Step, run_steps

__all__ = ["main"]

MINUTES = {False: 8.0, True: 5.0}
"""For the first list, and for the second."""
PARTS = ("parity", "speed", "counts", "compiled", "training")


def main(words: Sequence[str] | None = None) -> None:
    """Run the steps and write ``results.md``.

    Raises:
        SystemExit: wrong options, or a step failed.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--tiny", action="store_true", help="small sizes: finds errors of the script, no numbers")
    add("--second", action="store_true", help="the second list: compilation and short training")
    add("--part", choices=PARTS, nargs="+", default=PARTS, help="of the list, instead of all")
    add("--minutes", type=float, help="for all steps together; 8, or 5 for the second list")
    add("--rounds", type=int, default=10, help="measured rounds; one more does not count")
    add("--output", type=Path, default=Path("output/gpu"), help="folder of the results")
    arguments = parser.parse_args(words)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here; --device cpu --tiny tests the script")
    # 32 bits are to mean 32 bits, for both
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    settings = Settings(arguments.device, arguments.tiny, arguments.rounds)
    steps = [x for x in _list(arguments.second, arguments.tiny) if x.part in arguments.part]
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.json").write_text(json.dumps(_machine(arguments.device)))
    minutes = arguments.minutes or MINUTES[arguments.second]
    records = run_steps(steps, settings, folder, 60 * minutes)
    (folder / "results.md").write_text(markdown(folder))
    if any(record["status"] == "failed" for record in records):
        raise SystemExit(1)


def _list(second: bool, tiny: bool) -> list[Step]:
    if second:
        return [*short_training.steps(tiny=tiny), *compiled.steps(tiny=tiny)]
    return [*speed.steps(tiny=tiny), *counts.steps(tiny=tiny)]


def _machine(device: str) -> dict[str, str]:
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    numpy = importlib.metadata.version("numpy")
    versions = {"torch": torch.__version__, "python": platform.python_version(), "numpy": numpy}
    return {"processor": name, **versions}


if __name__ == "__main__":
    main()
