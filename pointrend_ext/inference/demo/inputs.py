"""From what the user typed to pictures and videos."""

import glob
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Input", "find_inputs"]

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
_CONFIG_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)+")


@dataclass(frozen=True)
class Input:
    """One picture, video or camera.

    Attributes:
        path: the file; what to call a camera in messages.
        name: relative path, without suffix, that outputs are named after; no other input has it.
        camera: number of the camera, None for a file.
    """

    path: Path
    name: Path
    camera: int | None = None

    @property
    def is_video(self) -> bool:
        """Whether there is more than one frame."""
        return self.camera is not None or self.path.suffix.lower() in VIDEO_SUFFIXES

    @classmethod
    def of_camera(cls, number: int) -> "Input":
        """Take a camera as an input."""
        return cls(Path(f"camera {number}"), Path(f"camera_{number}"), number)


def find_inputs(patterns: Sequence[str]) -> tuple[list[Input], list[str]]:
    """Find files, in the order of the patterns and by name.

    Args:
        patterns: files; folders, of which all pictures and videos are taken, those of sub-folders
            too; and patterns such as ``photos/*.jpg`` or ``photos/**/*.jpg``.

    Returns:
        The inputs, each file once; and a message for each pattern that gives none.
    """
    found: dict[Path, Path] = {}
    problems = []
    for pattern in patterns:
        files = list(_files_of(pattern))
        if not files:
            problems.append(_nothing_found(pattern))
        for file, name in files:
            found.setdefault(file.resolve(), name)
    inputs: dict[Path, Input] = {}
    for file, name in found.items():
        name = _free_name(name, inputs)
        inputs[name] = Input(file, name)
    return list(inputs.values()), problems


def _files_of(pattern: str) -> Iterator[tuple[Path, Path]]:
    """Yield files, each with the name of its outputs."""
    path = Path(pattern)
    if path.is_file():
        yield path, Path(path.stem)
    elif path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in IMAGE_SUFFIXES + VIDEO_SUFFIXES and file.is_file():
                yield file, file.relative_to(path).with_suffix("")
    else:
        for match in sorted(glob.glob(pattern, recursive=True)):
            if Path(match).is_file():
                yield Path(match), Path(Path(match).stem)


def _free_name(name: Path, taken: Container[Path]) -> Path:
    """Number names that occur more than once, such as those of a.jpg and a.png."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = name.with_name(f"{name.name}_{number}")
    return free


def _nothing_found(pattern: str) -> str:
    if Path(pattern).is_dir():
        listed = " ".join(sorted(IMAGE_SUFFIXES + VIDEO_SUFFIXES))
        return f"{pattern}: the folder has no file that ends in one of {listed}."
    if _CONFIG_KEY.fullmatch(pattern):
        return (
            f"{pattern}: there is no such file. It looks like a configuration key: put KEY VALUE "
            "pairs after --opts."
        )
    what = "no file matches" if glob.has_magic(pattern) else "there is no such file or folder"
    return f"{pattern}: {what} (looked in {Path.cwd()})."
