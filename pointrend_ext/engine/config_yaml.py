"""Reading a configuration file and its bases, with messages that name the file."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.utils.file_io import PathManager

from pointrend_ext.data.strict_yaml import load_yaml
from pointrend_ext.model_zoo import SHIPPED, get_config_file
from pointrend_ext.modeling.recording import leaves

BASE_KEY = "_BASE_"


def read_yaml(
    path: str | os.PathLike[str], chain: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Read a file (or address) and what it inherits from the files of ``_BASE_``.

    ``chain`` are the files that inherit from it, the first one first.

    Returns:
        The content as one nested mapping; for each dotted name of a value the file it is from; and
        all files, each before its bases, of which later ones win and come first.

    Raises:
        FileNotFoundError: a base does not exist.
        ValueError: a file holds no mapping of names to values, is no YAML in UTF-8, repeats a key,
            or bases go in a circle.
    """
    source = os.fspath(path)
    places = [*map(_place, chain), _place(source)]
    if places[-1] in places[:-1]:
        circle = " -> ".join([*chain[places.index(places[-1]) :], source])
        raise ValueError(
            f"{source}: its bases go in a circle, {circle}. Take one of these {BASE_KEY} out."
        )
    content = load_yaml(_read_text(source), source)
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f"{source} holds no configuration: a YAML mapping of keys to values is needed, such as "
            "'MODEL:' with keys below it. Is it empty, or another kind of file?"
        )
    merged: dict[str, Any] = {}
    files: dict[str, str] = {}
    sources = [source]
    for base in _bases(content.pop(BASE_KEY, []), source):
        inherited, their_files, their_sources = read_yaml(base, (*chain, source))
        _merge(inherited, merged, source)
        files.update(their_files)
        sources[1:1] = their_sources
    files.update((name, source) for name, _ in leaves(content, source=source))
    _merge(content, merged, source)
    return merged, files, sources


def _read_text(source: str) -> str:
    if source.endswith(".py"):
        raise ValueError(
            f"{source} is a configuration in Python (Detectron2's LazyConfig); this package reads "
            "YAML. Give a .yaml file."
        )
    with PathManager.open(source, "rb") as file:
        data = file.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{source}: byte {error.start} (line {line}) is not UTF-8. Save the file as UTF-8."
        ) from None


def _bases(stated: Any, source: str) -> list[str]:
    """Return the paths of the bases: relative ones start at the folder of the file."""
    names = stated if isinstance(stated, list) else [stated]
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{source}: {BASE_KEY} is {stated!r}; the path of a file is needed, or a list of "
                "them, of which later ones win."
            )
    paths = [
        get_config_file(name.removeprefix(SHIPPED))
        if name.startswith(SHIPPED)
        else name
        if "://" in name
        else os.path.join(os.path.dirname(source), os.path.expanduser(name))
        for name in names
    ]
    for name, path in zip(names, paths, strict=True):
        if "://" not in path and not os.path.isfile(path):
            raise FileNotFoundError(
                f"{source}: {BASE_KEY} is {name!r}, but there is no such file (looked for "
                f"{os.path.abspath(path)}). A relative path starts at the folder of the file that "
                "states it."
            )
    return paths


def _merge(new: Mapping[str, Any], into: dict[str, Any], source: str, prefix: str = "") -> None:
    for key, value in new.items():
        if isinstance(value, dict):
            # Never the mapping itself: by an anchor of YAML it may be another section as well.
            below = into.setdefault(key, {})
            if not isinstance(below, dict):
                raise ValueError(
                    f"{source}: {prefix}{key} has keys below it, but in a base it is {below!r}. It "
                    "can be a section or a value."
                )
            _merge(value, below, source, f"{prefix}{key}.")
        else:
            into[key] = value


def _place(source: str) -> str:
    return source if "://" in source else os.path.realpath(source)
