"""The files of a folder, listed once."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pointrend_ext.data.findings import first_of
from pointrend_ext.data.label_maps import IMAGE_ENDINGS
from pointrend_ext.data.strict_json import read_json

_MOST_SAMPLES = 20  # of the JSON files of a folder, which labelme writes one a picture
_SPLITS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_SPLIT = re.compile(r"(?<![a-z])(train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?)(?![a-z])")


@dataclass(frozen=True)
class Tree:
    """A folder.

    Attributes:
        root: absolute.
        files: all files below it with forward slashes, sorted; nothing that begins with a dot.
    """

    root: Path
    files: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> "Tree":
        """List a folder; links to folders are not followed."""
        found = []
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
            below = Path(parent).relative_to(folder)
            found += [(below / name).as_posix() for name in files if not name.startswith(".")]
        return cls(Path(os.path.realpath(folder)), tuple(sorted(found)))

    def ending(self, *endings: str) -> list[str]:
        """Return the files with one of some endings."""
        return [file for file in self.files if file.lower().endswith(endings)]

    @cached_property
    def pictures(self) -> list[str]:
        """All files with the ending of a picture."""
        return self.ending(*IMAGE_ENDINGS)

    @cached_property
    def pictures_by_name(self) -> dict[str, list[str]]:
        """The same by their last part."""
        found: dict[str, list[str]] = defaultdict(list)
        for picture in self.pictures:
            found[PurePosixPath(picture).name].append(picture)
        return found

    def called(self, name: str) -> list[str]:
        """Return pictures whose path ends like a name, of Windows perhaps, or in its last part."""
        name = PurePosixPath(name.replace("\\", "/")).as_posix()
        known = self.pictures_by_name.get(name.rpartition("/")[2], [])
        return [path for path in known if f"/{path}".endswith(f"/{name}")] or known

    @property
    def json_samples(self) -> dict[str, Any]:
        """The content of JSON files that can be read: of many in one folder, of some."""
        return self._read_samples[0]

    @property
    def broken_json(self) -> dict[str, str]:
        """Why others of them cannot be read, in a sentence."""
        return self._read_samples[1]

    @cached_property
    def _read_samples(self) -> tuple[dict[str, Any], dict[str, str]]:
        by_folder: dict[PurePosixPath, list[str]] = defaultdict(list)
        for file in self.ending(".json"):
            by_folder[PurePosixPath(file).parent].append(file)
        samples, broken = {}, {}
        for files in by_folder.values():
            for file in files[:: max(len(files) // _MOST_SAMPLES, 1)]:
                try:
                    samples[file] = read_json(str(self.root / file))
                except (ValueError, OSError) as error:
                    broken[file] = str(error)
        return samples, broken

    def nearest(self, found: Iterable[str], file: str) -> str:
        """Return the path with most leading folders in common with those of ``file``.

        Of several, the one with most of the last parts in common.

        Raises:
            ValueError: there are several.
        """
        parts, by_key = PurePosixPath(file).parts, defaultdict(list)
        for path in found:
            own = PurePosixPath(path).parts
            key = _num_common(own, parts), _num_common(own[::-1], parts[::-1])
            by_key[key].append(path)
        best = by_key[max(by_key)]
        if len(best) > 1:
            names = sorted(map(repr, best))
            raise ValueError(
                f"{self.root}: it is not clear which of {first_of(names)} belongs to "
                f"{file!r}. Take the others out of the folder."
            )
        return best[0]

    def __str__(self) -> str:
        kinds = sorted({PurePosixPath(file).suffix.lower() or "no ending" for file in self.files})
        return f"{str(self.root)!r} ({len(self.files)} files: {first_of(kinds, 6) or 'none'})"


def split_name(path: str) -> str:
    """Return "train", "val" or "test" where a path names one, the last one; else ""."""
    found = _SPLIT.findall(path.lower())
    return _SPLITS.get(found[-1], found[-1]) if found else ""


def _num_common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    same = [a == b for a, b in zip(first, second, strict=False)]
    return same.index(False) if False in same else len(same)
