"""What this machine has, found without importing what may be missing or broken."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pointrend_ext._detectron2 import install_lines

DISTRIBUTION = "pointrend-ext"
LEAST_FREE_BYTES, GOOD_SHARED_BYTES = 1e9, 1e9
# Builds of one package: each provides its module.
_ALIKE = {
    "opencv-python": (
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    )
}
_NOT_FOR_USERS = ("dev",)
# A process of its own: a broken torch may end its process.
_PROBE = """
import json, torch, torchvision
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
apple = torch.backends.mps.is_available()
device = "cuda" if gpus else "mps" if apple else "cpu"
print(json.dumps({"device": device, "gpus": gpus, "cuda_of_torch": torch.version.cuda,
                  "threads": torch.get_num_threads()}), flush=True)
torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)  # compiled operators
import pointrend_ext
"""


@dataclass(frozen=True)
class Package:
    """A package that ours asks for; ``version`` is None where it is absent."""

    name: str
    least: str
    below: str
    extra: str
    version: str | None

    @property
    def is_good(self) -> bool:
        """Whether it is there, new enough, and not too new."""
        found = _numbers(self.version or "")
        below = not self.below or found < _numbers(self.below)
        return self.version is not None and _numbers(self.least) <= found and below

    @property
    def requirement(self) -> str:
        """What pip is given."""
        below = f",<{self.below}" if self.below else ""
        return f"'{self.name}>={self.least}{below}'" if self.least else self.name


@dataclass
class Machine:
    """What was found.

    Attributes:
        packages: that ours asks for, Detectron2 left out.
        detectron2: its version, None where it is absent.
        device: kind, names of GPUs, CUDA version of torch, threads; None where torch does not work.
        free_bytes: of the disk of the working directory, and of shared memory, where it is one.
        folders: where downloads and results of checks are kept, and whether they can be written.
        problems: sentences; no training is possible.
        notes: sentences on what may be in the way.
        install: what is missing, and the lines that install it.
    """

    packages: list[Package] = field(default_factory=list)
    detectron2: str | None = None
    device: dict[str, Any] | None = None
    free_bytes: dict[str, int] = field(default_factory=dict)
    folders: dict[str, bool] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    install: dict[str, list[str]] = field(default_factory=dict)


def examine() -> Machine:
    """Look at packages, device, disk and folders."""
    machine = Machine()
    _find_packages(machine)
    _find_detectron2(machine)
    _try(machine)
    _find_room(machine)
    return machine


def _find_packages(machine: Machine) -> None:
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        folder = Path(__file__).resolve().parents[2]
        machine.notes.append(
            f"pointrend_ext is imported from {folder}, but not installed: what it needs is not "
            f"known. `{_pip()} -e {folder}` installs it."
        )
        return
    machine.packages = [*map(_find, requirements)]
    for extra in dict.fromkeys(package.extra for package in machine.packages):
        absent = [p for p in machine.packages if p.extra == extra and not p.is_good]
        if not absent or extra in _NOT_FOR_USERS:
            continue
        line = f"{_pip()} {' '.join(package.requirement for package in absent)}"
        machine.install[extra or "needed packages"] = [line]
        if not extra:
            names = ", ".join(f"{p.name} ({p.version or 'absent'})" for p in absent)
            machine.problems.append(f"Packages are missing or too old: {names}.")


def _find(requirement: str) -> Package:
    """Read a requirement of a package's metadata, and look for its package."""
    parts = (r"^[\w.-]+", r">=\s*([\w.]+)", r"<\s*([\w.]+)", r"extra\s*==\s*[\"']([\w-]+)")
    name, *bounds = (re.search(part, requirement) for part in parts)
    least, below, extra = (found[1] if found else "" for found in bounds)
    wanted = name.group() if name else requirement
    version = None
    for candidate in (wanted, *_ALIKE.get(wanted, ())):
        try:
            version = version or metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return Package(wanted, least, below, extra, version)


def _find_detectron2(machine: Machine) -> None:
    spec = find_spec("detectron2")
    if spec is None or spec.origin is None:  # an empty folder of that name is no package
        machine.problems.append("There is no Detectron2, on which this package is built.")
        machine.install["Detectron2"] = install_lines(sys.executable)
        return
    text = Path(spec.origin).read_text(encoding="utf-8", errors="replace")
    found = re.search(r"__version__ = [\"']([^\"']+)", text)
    machine.detectron2 = found[1] if found else "of unknown version"


def _try(machine: Machine) -> None:
    """Import what is there."""
    if find_spec("torch") is None:
        return
    command = [sys.executable, "-W", "ignore", "-c", _PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        machine.problems.append("Importing torch has not ended within five minutes.")
        return
    if done.stdout:
        machine.device = json.loads(done.stdout.splitlines()[0])
    if done.returncode and not machine.problems:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        machine.problems.append(f"The package cannot be imported: {last}")
    has_driver = Path("/proc/driver/nvidia/version").exists()
    if has_driver and machine.device and machine.device["device"] == "cpu":
        machine.notes.append(
            "There is an NVIDIA driver, but torch "
            + ("was built without CUDA." if not machine.device["cuda_of_torch"] else "sees no GPU.")
        )


def _find_room(machine: Machine) -> None:
    places = {"working directory": Path.cwd(), "/dev/shm": Path("/dev/shm")}
    machine.free_bytes = {
        name: shutil.disk_usage(path).free for name, path in places.items() if path.is_dir()
    }
    if machine.free_bytes["working directory"] < LEAST_FREE_BYTES:
        machine.problems.append(
            f"The disk of {Path.cwd()} has less than {LEAST_FREE_BYTES / 1e9:.0f} GB free: there "
            "is no room for checkpoints."
        )
    if machine.free_bytes.get("/dev/shm", GOOD_SHARED_BYTES) < GOOD_SHARED_BYTES:
        machine.notes.append(
            "/dev/shm is small: processes that load images may run out of it (Docker: --shm-size "
            "8g). DATALOADER.NUM_WORKERS 0 takes no such process."
        )
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    downloads = os.environ.get("FVCORE_CACHE", "~/.torch/iopath_cache")
    checks = os.environ.get("POINTREND_CACHE", f"{cache}/pointrend_ext")
    for name in filter(None, (downloads, checks)):
        folder = Path(os.path.expanduser(name))
        above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        machine.folders[str(folder)] = above.is_dir() and os.access(above, os.W_OK)
    machine.notes += [
        f"{x} cannot be written." for x, writable in machine.folders.items() if not writable
    ]


def _pip() -> str:
    return f"{sys.executable} -m pip install"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.split("+")[0])))
