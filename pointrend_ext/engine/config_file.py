"""Reading a configuration: file, then ``KEY VALUE`` pairs, with messages a user can act on."""

import difflib
import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode, get_cfg

from pointrend_ext.config import add_pointrend_config
from pointrend_ext.engine.config_values import fitting_value
from pointrend_ext.engine.config_yaml import read_yaml
from pointrend_ext.engine.unread_keys import never_read, record_reads
from pointrend_ext.engine.upgrade_config import upgrade_config
from pointrend_ext.model_zoo import (
    SHIPPED,
    ZOO,
    get_config_file,
    get_weights_file,
    released_weights,
)
from pointrend_ext.modeling.recording import default_values, leaves

logger = logging.getLogger(__name__)


def load_cfg(config_file: str | Path = "", opts: Sequence[Any] = ()) -> CfgNode:
    """Build a configuration with every key of Detectron2 and of this package.

    Args:
        config_file: see ``find_config_file``, also of Detectron2's PointRend project; empty for the
            defaults alone.
        opts: alternating keys and values, as they trail a command line; applied last.

    Raises:
        FileNotFoundError: no such file, no such base of it, or no such weights in this package.
        ValueError: an unknown key, a key without value, or a value of another type.
    """
    cfg, notes = read_cfg(config_file, opts)
    for note in notes:
        logger.info(note)
    return cfg


def read_cfg(config_file: str | Path = "", opts: Sequence[Any] = ()) -> tuple[CfgNode, list[str]]:
    """Do what ``load_cfg`` does, before there is a log: return the lines to log as well.

    The configuration notes what is read from it: see ``check_reads``.
    """
    cfg, notes, defaults = get_cfg(), [], default_values()
    add_pointrend_config(cfg)
    own: dict[str, str] = {}  # of the file itself, not of its bases, and of the command line
    sources: list[str] = []  # the file and its bases
    if config_file:
        path = str(find_config_file(config_file))
        content, files, sources = read_yaml(path)
        content, note = upgrade_config(content, path)
        notes += [note] if note else []
        stated = [(name, value, files.get(name, path)) for name, value in leaves(content)]
        for file in dict.fromkeys(sources):
            _check_keys((name for name, _, at in stated if at == file), defaults, source=file)
        for name, value, file in stated:
            _set(cfg, name, _checked(name, value, defaults, file))
            own.update({name: path} if file == path else {})
        _check_version(cfg, path)
    _check_pairs(opts)
    _check_keys(opts[::2], defaults, source="the command line")
    for name, value in zip(opts[::2], opts[1::2], strict=True):
        _set(cfg, name, _checked(name, value, defaults))
    own.update(dict.fromkeys(opts[::2], ""))
    if cfg.MODEL.WEIGHTS == ZOO:
        cfg.MODEL.WEIGHTS = released_weights(sources)
    elif cfg.MODEL.WEIGHTS.startswith(SHIPPED):
        cfg.MODEL.WEIGHTS = get_weights_file(cfg.MODEL.WEIGHTS.removeprefix(SHIPPED))
    problem = never_read(cfg, own)
    if problem:
        raise ValueError(problem)
    return record_reads(cfg, own), notes


def find_config_file(config_file: str | Path) -> Path:
    """Find a configuration by path, or by its name among the files that this package ships.

    Such a name is ``COCO-InstanceSegmentation/NAME.yaml``, with or without ``configs/`` before it.

    Raises:
        FileNotFoundError: neither exists; the message names similar shipped files.
    """
    path = Path(config_file)
    if path.is_file():
        return path
    return Path(get_config_file(path.as_posix().removeprefix("configs/")))


def _check_version(cfg: CfgNode, path: str) -> None:
    latest = get_cfg().VERSION
    if latest != cfg.VERSION:
        raise ValueError(
            f"{path}: VERSION is {cfg.VERSION}, but only configurations of VERSION {latest} can be "
            "read. Give its keys the names of today (the messages suggest them), and state "
            f"VERSION: {latest}."
        )


def _check_pairs(opts: Sequence[Any]) -> None:
    if len(opts) % 2 == 0:
        return
    joined = next((str(word) for word in opts if "=" in str(word)), "")
    hint = f" Write {joined.replace('=', ' ', 1)!r} instead of {joined!r}." if joined else ""
    raise ValueError(
        f"The command line ends in {len(opts)} words, {list(opts)}; KEY VALUE pairs are needed, "
        f"an even number.{hint}"
    )


def _check_keys(keys: Iterable[Any], defaults: Mapping[str, Any], source: str) -> None:
    sections = {n.rsplit(".", i)[0] for n in defaults for i in range(1, n.count(".") + 1)}
    unknown = [str(key) for key in keys if key not in sections and key not in defaults]
    if unknown:
        hints = [_hint(key, defaults) for key in unknown]
        raise ValueError(f"Unknown configuration key in {source}: " + "; ".join(hints))


def _checked(name: str, value: Any, defaults: Mapping[str, Any], file: str = "") -> Any:
    """Return the value with the type of its key; None for a section without keys."""
    if name in defaults:
        return fitting_value(name, value, defaults[name], file=file)
    if value == {}:
        return None
    below = next(key for key in defaults if key.startswith(f"{name}."))
    raise ValueError(
        f"{file or 'The command line'}: {name} is a section of the configuration, but is given "
        f"{value!r}. State the keys below it, such as {below}, or leave {name} out."
    )


def _set(cfg: CfgNode, name: str, value: Any) -> None:
    *path, leaf = name.split(".")
    node = functools.reduce(getattr, path, cfg)
    if not isinstance(node[leaf], CfgNode):
        node[leaf] = value


def _hint(key: str, known: Mapping[str, Any]) -> str:
    above = next((name for name in known if key.startswith(f"{name}.")), None)
    if above:
        return f"{key} ({above} is a value; no key can stand below it)"
    if "=" in key and key.split("=")[0] in known:
        return f"{key} (write KEY VALUE with a space: {key.replace('=', ' ', 1)})"
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"{key} (did you mean {nearest[0]}?)" if nearest else f"{key} (nothing similar exists)"
