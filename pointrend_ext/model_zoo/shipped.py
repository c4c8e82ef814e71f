"""Weights that are part of the package: small models of the toy data."""

from pathlib import Path

SHIPPED = "pointrend_ext://"
"""Before a file's name, as ``MODEL.WEIGHTS`` or ``--weights``: weights of this package."""

_FOLDER = Path(__file__).with_name("weights")


def get_weights_file(name: str) -> str:
    """Return the absolute path of a file of weights, such as ``detector_toy.pth``.

    Raises:
        FileNotFoundError: no file has this name; the message lists those that there are.
    """
    known = list_weights_files()
    if name not in known:
        raise FileNotFoundError(
            f"The weights {SHIPPED}{name} are no part of this package, which has "
            f"{', '.join(known) or 'none: install it again'}."
        )
    return str(_FOLDER / name)


def list_weights_files() -> list[str]:
    """Return every name that ``get_weights_file`` takes, sorted."""
    return sorted(file.name for file in _FOLDER.glob("*.pth"))
