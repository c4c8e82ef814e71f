"""Reading a configuration: file, then ``KEY VALUE`` pairs, with messages a user can act on."""

import difflib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode, get_cfg

from pointrend_ext.config import add_pointrend_config
from pointrend_ext.engine.upgrade_config import leaves, upgrade_config
from pointrend_ext.model_zoo import get_config_file

__all__ = ["find_config_file", "load_cfg", "read_cfg"]

logger = logging.getLogger(__name__)


def load_cfg(config_file: str | Path = "", opts: Sequence[Any] = ()) -> CfgNode:
    """Build a configuration with every key of Detectron2 and of this package.

    Args:
        config_file: see ``find_config_file``; empty for the defaults alone. Files of Detectron2's
            PointRend project are read, too.
        opts: alternating keys and values, as they trail a command line; applied last.

    Raises:
        FileNotFoundError: no such file, or no such base of it.
        ValueError: an unknown key, a key without value, or a value of another type.
    """
    cfg, notes = read_cfg(config_file, opts)
    for note in notes:
        logger.info(note)
    return cfg


def read_cfg(config_file: str | Path = "", opts: Sequence[Any] = ()) -> tuple[CfgNode, list[str]]:
    """Do what ``load_cfg`` does, before there is a log: return the lines to log as well."""
    cfg, notes = get_cfg(), []
    add_pointrend_config(cfg)
    if config_file:
        path = find_config_file(config_file)
        loaded, note = upgrade_config(_read_yaml(cfg, path), str(path))
        _check_keys((name for name, _ in leaves(loaded)), cfg, source=str(path))
        if note:
            notes.append(note)
            cfg.merge_from_other_cfg(CfgNode(loaded))
        else:
            cfg.merge_from_file(str(path))
    if len(opts) % 2:
        raise ValueError(
            f"The command line ends in {len(opts)} words, {list(opts)}; KEY VALUE pairs are "
            "needed, an even number."
        )
    _check_keys(opts[::2], cfg, source="the command line")
    cfg.merge_from_list(list(opts))
    return cfg, notes


def find_config_file(config_file: str | Path) -> Path:
    """Find a configuration by path, or by its name among the files that this package ships.

    Args:
        config_file: ``my.yaml``, or ``COCO-InstanceSegmentation/NAME.yaml`` with or without
            ``configs/`` before it.

    Raises:
        FileNotFoundError: neither exists; the message names similar shipped files.
    """
    path = Path(config_file)
    if path.is_file():
        return path
    return Path(get_config_file(path.as_posix().removeprefix("configs/")))


def _read_yaml(cfg: CfgNode, path: Path) -> dict[str, Any]:
    """Read a file and its bases."""
    try:
        loaded = cfg.load_yaml_with_base(str(path))
    except (AttributeError, TypeError):  # Detectron2 expects a mapping
        loaded = None
    if not isinstance(loaded, dict) or not loaded:
        raise ValueError(
            f"{path} holds no configuration: a YAML mapping of keys to values is needed, such as "
            "'MODEL:' with keys below it. Is it empty, or another kind of file?"
        )
    return loaded


def _check_keys(keys: Iterable[str], cfg: CfgNode, source: str) -> None:
    known = [name for name, _ in leaves(cfg)]
    nodes = {
        name.rsplit(".", depth)[0] for name in known for depth in range(1, name.count(".") + 1)
    }
    unknown = [key for key in keys if key not in nodes and key not in known]
    if unknown:
        hints = [_hint(key, known) for key in unknown]
        raise ValueError(f"Unknown configuration key in {source}: " + "; ".join(hints))


def _hint(key: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"{key} (did you mean {nearest[0]}?)" if nearest else f"{key} (nothing similar exists)"
