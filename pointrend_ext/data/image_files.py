"""Image files, looked at before a training or an evaluation needs them.

Every file is there, opens, and has the size that its entry states. Headers are read, in threads;
the result is kept until a file changes (``check_cache``), so that the next start asks the file
system alone.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Sized
from typing import Any, NamedTuple

from pointrend_ext.data.check_cache import remembered, versions_key
from pointrend_ext.data.findings import Cause, Findings, Kind, first_of
from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.data.reading import ImageHeader, check_megapixels, read_header, read_image
from pointrend_ext.data.threads import in_threads

logger = logging.getLogger(__name__)

SEVERAL = Cause(Kind.NOTED, "files of several pictures (animations, pages): the first is read")
REMOTE = Cause(Kind.NOTED, "files on another machine: looked at when they are read", True)

_NUM_SAMPLES = 3  # of files with wide samples, whose values are looked at, too


class ImageEntry(NamedTuple):
    """A file, and the (height, width) that the data set states for it, if it does."""

    file_name: str
    size_hw: tuple[int, int] | None = None


def check_image_files(entries: Iterable[ImageEntry], name: str, rules: ImageRules) -> None:
    """Check that files exist, can be opened and have the size that is stated; log what is noted.

    Args:
        entries: files; addresses with ``://`` are not looked at.
        name: of the data set, for messages.
        rules: tell which pictures are too large.

    Raises:
        FileNotFoundError: files are missing.
        ValueError: files are no images, too large, or of another size than is stated.
    """
    entries = list(entries)
    local = [entry for entry in entries if "://" not in entry.file_name]
    versions = list(in_threads(_version, local, f"{name}: image files"))
    missing = [e.file_name for e, version in zip(local, versions, strict=True) if version is None]
    if missing:
        raise FileNotFoundError(
            f"Data set {name!r}: {_counted(missing, len(local))} not there: "
            f"{first_of([*map(repr, dict.fromkeys(missing))])}. Copy what is missing to its "
            "place, correct the folder of the data set, or take the entries out."
        )
    digest = hashlib.sha256()
    for entry, version in zip(local, versions, strict=True):
        digest.update(repr((os.path.abspath(entry.file_name), entry.size_hw, version)).encode())
    key = versions_key("image-files-1", [[digest.hexdigest()]], *vars(rules).values())
    known = remembered(key, lambda: _look(local, name, rules))
    for sample in known["samples"]:
        read_image(sample, "RGB", rules)  # warns where grey values do not fill their range
    found = Findings.from_rows(known["found"], len(entries))
    remote = [entry.file_name for entry in entries if "://" in entry.file_name]
    if remote:
        found.add(REMOTE, remote[0], len(remote))
    found.log(logger, f"Data set {name!r}, image files")


def check_size(entry: ImageEntry, header: ImageHeader) -> None:
    """Raise ValueError where a picture does not have the size that its entry states."""
    if entry.size_hw is None or tuple(entry.size_hw) == header.size_hw:
        return
    sizes = "The image {!r} has {} x {} (height x width) pixels, but its entry states {} x {}. "
    text = sizes.format(entry.file_name, *header.size_hw, *entry.size_hw)
    if tuple(entry.size_hw) == header.stored_hw:
        raise ValueError(
            f"{text}That is the size as it is stored; the EXIF orientation {header.orientation} of "
            "the file says that it lies on its side, and images are read upright. Where boxes and "
            "masks belong to the upright picture, write the upright height and width into the "
            "annotation file; where they were drawn on the stored one, take the orientation out of "
            "the file (exiftool -Orientation= FILE)."
        )
    raise ValueError(
        f"{text}Correct its height and width; where the file was resized, boxes and masks, too."
    )


def is_missing(file_name: str | os.PathLike[str]) -> bool:
    """Tell whether there is no such file; of addresses with ``://`` that is not known."""
    name = os.fspath(file_name)
    return "://" not in name and _version(ImageEntry(name)) is None


def _look(entries: list[ImageEntry], name: str, rules: ImageRules) -> dict[str, Any]:
    """Open all files; return what is kept of that. ValueError where one is not fit."""
    found = Findings(len(entries))
    samples: list[str] = []
    problems: dict[str, str] = {}
    seen = in_threads(lambda e: _header(e, rules), entries, f"{name}: opening image files")
    for entry, header in zip(entries, seen, strict=True):
        if isinstance(header, str):
            problems[entry.file_name] = header
            continue
        if header.num_pictures > 1:
            found.add(SEVERAL, entry.file_name)
        if header.mode[0] in "FI" and len(samples) < _NUM_SAMPLES:
            samples.append(entry.file_name)
    if problems:
        others = f" Then: {first_of([*map(repr, problems)][1:])}." if len(problems) > 1 else ""
        raise ValueError(
            f"Data set {name!r}: {_counted(problems, len(entries))} not fit. "
            f"{next(iter(problems.values()))}{others}"
        )
    return {"found": found.to_rows(), "samples": samples}


def _header(entry: ImageEntry, rules: ImageRules) -> ImageHeader | str:
    """Return what a header tells, or why the file is not fit."""
    try:
        header = read_header(entry.file_name)
        check_megapixels(header.size_hw, rules, f"The image {entry.file_name!r}")
        check_size(entry, header)
    except (ValueError, OSError) as error:
        return str(error)
    return header


def _version(entry: ImageEntry) -> tuple[int, int] | None:
    """Return size and time of change; None where there is no such file."""
    try:
        stat = os.stat(entry.file_name)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no name of a file
        return None
    return stat.st_size, stat.st_mtime_ns


def _counted(files: Sized, total: int) -> str:
    return f"{len(files)} of {total} image files {'is' if len(files) == 1 else 'are'}"
