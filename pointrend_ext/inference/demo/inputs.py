"""From what the user typed to pictures and videos."""

import glob
import itertools
import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pointrend_ext._command import escaped

# fmt: off
IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png",
    ".ppm", ".tif", ".tiff", ".webp",
)
VIDEO_SUFFIXES = (
    ".avi", ".flv", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts",
    ".webm", ".wmv",
)
# fmt: on
_SUFFIXES = IMAGE_SUFFIXES + VIDEO_SUFFIXES
LIST_OF_RESULTS = ".pointrend_files"
"""In a folder of results: what was written there."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_CONFIG_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+")


@dataclass(frozen=True)
class Input:
    """One picture, video or camera.

    Attributes:
        path: the file, absolute, links not followed; what to call a camera in messages.
        name: relative path, without suffix, that outputs are named after; no other input has it.
        file_name: what results call it: as below the folder or pattern that was given; where two
            inputs would be called alike, the path as given.
        camera: number of the camera, None for a file.
    """

    path: Path
    name: Path
    file_name: str = ""
    camera: int | None = None

    @property
    def is_video(self) -> bool:
        """Whether there is more than one frame."""
        return self.camera is not None or self.path.suffix.lower() in VIDEO_SUFFIXES

    @classmethod
    def of_camera(cls, number: int) -> "Input":
        """Take a camera as an input."""
        return cls(Path(f"camera {number}"), Path(f"camera_{number}"), f"camera_{number}", number)

    def frame(self, number: int) -> "Input":
        """Return what results call a frame of a video, counted from 0."""
        name = self.name / f"{number:06d}"
        return replace(self, name=name, file_name=name.as_posix())


@dataclass(frozen=True)
class Found:
    """What patterns gave.

    Attributes:
        inputs: each file once.
        problems: a message for each pattern that gives nothing, and each folder that cannot be
            read.
        notes: a message for each folder with files that were passed over, or of results.
    """

    inputs: list[Input]
    problems: list[str]
    notes: list[str]

    def require(self) -> None:
        """Raise ValueError where there is nothing to do, and say why."""
        if not self.inputs:
            reasons = "\n".join([*self.problems, *self.notes])
            raise ValueError(reasons or "Nothing to do: pass --input or --webcam.")


def find_inputs(patterns: Sequence[str]) -> Found:
    """Find files, in the order of the patterns and by name.

    Args:
        patterns: files; folders, of which all pictures and videos are taken, those of sub-folders
            too; and patterns such as ``photos/*.jpg`` or ``photos/**/*.jpg``. Links to files keep
            their own names.
    """
    found: dict[tuple[str, str], Input] = {}
    told = Found([], [], [])
    for pattern in patterns:
        files, passed_over = _files_of(pattern, told)
        if not files:
            told.problems.append(_nothing_found(pattern))
        if passed_over:
            told.notes.append(_passed_over(pattern, passed_over))
        for file, below in files:
            # A circle of linked folders leads to the same file by many paths.
            place = os.path.realpath(file.parent), file.name
            path = Path(os.path.abspath(file))
            found.setdefault(place, Input(path, below.with_suffix(""), below.as_posix()))
    times = Counter(x.file_name for x in found.values())
    inputs: dict[Path, Input] = {}
    for x in found.values():
        name = _free_name(x.name, inputs)
        file_name = x.file_name if times[x.file_name] == 1 else os.path.relpath(x.path)
        inputs[name] = replace(x, name=name, file_name=Path(file_name).as_posix())
    return replace(told, inputs=list(inputs.values()))


def _files_of(pattern: str, told: Found) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return files, each with its path below what was given, and files of no known suffix."""
    path = Path(pattern)
    if _is_file(path):
        return [(path, Path(path.name))], []
    if path.is_dir():
        files = sorted(_walk(path, told))
        taken = [(f, f.relative_to(path)) for f in files if f.suffix.lower() in _SUFFIXES]
        others = [f for f in files if f.suffix.lower() not in _SUFFIXES]
        return taken, [f for f in others if not f.name.startswith(".")]
    root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))
    return [(match, match.relative_to(root)) for match in matches if _is_file(match)], []


def _walk(folder: Path, told: Found) -> Iterator[Path]:
    """Yield the files below a folder, also of linked folders, of each folder once."""
    known = set()
    failed = lambda error: told.problems.append(str(error))  # noqa: E731
    for root, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        place = os.path.realpath(root)
        if place in known:  # links in a circle
            folders.clear()
            continue
        known.add(place)
        if LIST_OF_RESULTS in names and Path(root) != folder:
            told.notes.append(escaped(f"{root}: results of an earlier run are passed over."))
            folders.clear()
            continue
        yield from filter(_is_file, (Path(root, name) for name in names))


def _is_file(path: Path) -> bool:
    """Tell files, and links to files that are not there, which fail when their turn comes."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _passed_over(folder: str, files: Sequence[Path]) -> str:
    suffixes = Counter(file.suffix or "no suffix" for file in files)
    listed = ", ".join(f"{number} {suffix}" for suffix, number in suffixes.most_common())
    number = f"{len(files)} file" + ("s" if len(files) > 1 else "")
    return escaped(
        f"{folder}: {number} passed over that no picture or video is known by ({listed}), such as "
        f"{files[0].name!r}. Convert them, or name them one by one."
    )


def _free_name(name: Path, taken: Container[Path]) -> Path:
    """Number names that occur more than once, such as those of a.jpg and a.png."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = name.with_name(f"{name.name}_{number}")
    return free


def _nothing_found(pattern: str) -> str:
    if Path(pattern).is_dir():
        listed = " ".join(sorted(_SUFFIXES))
        return f"{pattern}: the folder has no file that ends in one of {listed}."
    if _ADDRESS.match(pattern):
        return f"{pattern}: addresses are not read. Save the picture or the stream to a file first."
    if _CONFIG_KEY.fullmatch(pattern):
        return (
            f"{pattern}: there is no such file. It looks like a configuration key: put KEY VALUE "
            "pairs after --opts."
        )
    what = "no file matches" if glob.has_magic(pattern) else "there is no such file or folder"
    return f"{pattern}: {what} (looked in {Path.cwd()})."
