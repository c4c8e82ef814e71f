"""Finds the YAML files of ``configs/``, in a checkout and in an installed package alike."""

import difflib
from pathlib import Path

_DATASETS = "datasets"  # the folder of configs/ with descriptions of data sets, no configurations
# In a checkout the files lie beside the package; setup.py copies them into the built package.
_CHECKOUT = Path(__file__).resolve().parents[2]
_INSTALLED_CONFIGS = Path(__file__).resolve().parent / "configs"


def get_config_file(name: str) -> str:
    """Return the absolute path of a configuration file, ready for ``cfg.merge_from_file``.

    Args:
        name: path below ``configs/`` with forward slashes, such as
            ``"COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml"``.

    Raises:
        FileNotFoundError: no file has this name; the message gives the nearest names.
    """
    return _find(name, list_config_files(), "configuration")


def list_config_files() -> list[str]:
    """Return every name that ``get_config_file`` takes, bases included, sorted.

    Raises:
        FileNotFoundError: the package was installed without its configuration files.
    """
    return [name for name in _names_below(_configs_root()) if not _is_description(name)]


def get_dataset_file(name: str) -> str:
    """Return the absolute path of a data set description, by a name as "datasets/camvid.yaml".

    Raises:
        FileNotFoundError: no description has this name; the message gives the nearest names.
    """
    return _find(name, list_dataset_files(), "data set description")


def list_dataset_files() -> list[str]:
    """Return every name that ``get_dataset_file`` takes, sorted; see ``list_config_files``."""
    return [name for name in _names_below(_configs_root()) if _is_description(name)]


def _find(name: str, known: list[str], what: str) -> str:
    if name not in known:
        nearest = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.0))
        raise FileNotFoundError(
            f"There is no {what} {name!r}: neither such a file (looked in {Path.cwd()}), nor one "
            f"among the {len(known)} files of {_configs_root()}. Nearest names: {nearest}."
        )
    return str(_configs_root() / name)


def _is_description(name: str) -> bool:
    return name.split("/")[0] == _DATASETS


def _configs_root() -> Path:
    """Return the folder in use; a checkout's own files win over those built into the package."""
    in_checkout = _CHECKOUT / "configs"
    # setup.py tells a checkout from a site-packages folder that holds somebody else's "configs".
    candidates = [in_checkout] if (_CHECKOUT / "setup.py").is_file() else []
    candidates.append(_INSTALLED_CONFIGS)
    for root in candidates:
        if root.is_dir() and _names_below(root):
            return root
    raise FileNotFoundError(
        "pointrend_ext.model_zoo found no configuration files in "
        f"{' or '.join(map(str, candidates))}. Install the package again (`pip install .` in a "
        "checkout)."
    )


def _names_below(root: Path) -> list[str]:
    return sorted(file.relative_to(root).as_posix() for file in root.rglob("*.yaml"))
