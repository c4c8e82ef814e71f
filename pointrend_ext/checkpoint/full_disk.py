"""A full disk, told from other errors and named."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def is_full_disk(error: BaseException) -> bool:
    """Tell errors for want of space, also where a library has put one of its own in its place."""
    return any(getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for e in _chain(error))


def system_error(error: BaseException) -> OSError | None:
    """Return what the system has refused, likewise; None where it has not."""
    return next((e for e in _chain(error) if isinstance(e, OSError) and e.errno), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class FullDiskError(OSError):
    """The disk of a folder, or the user's share of it, is full; in a sentence that names it."""

    @classmethod
    def of(cls, folder: str | Path) -> "FullDiskError":
        """Describe the disk of a folder, which need not exist."""
        folder = Path(folder).absolute()
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(existing).free / 1e6
        if free < 1000:
            what = f"The disk of {folder} is full ({free:.1f} MB free): writing failed"
        else:
            what = (
                f"No space is left to write, though the disk of {folder} has {free:.0f} MB free: a "
                "quota is used up, or /dev/shm is full (Docker: --shm-size 8g)"
            )
        return cls(f"{what}. Free some space, or write elsewhere.")


@contextmanager
def naming_full_disk(folder: str | Path) -> Iterator[None]:
    """Let errors for want of space name the folder that is written to."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, FullDiskError) or not is_full_disk(error):
            raise
        raise FullDiskError.of(folder) from error
