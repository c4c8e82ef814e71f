"""Changes of files, and of trees of mappings, lists and values."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

Mutator = Callable[[Random, Path], str]
"""Changes files of a project; returns what it did."""
Change = Callable[[Random, Any], Any]
"""Changes the content of a file in place, or returns another content."""
Place = tuple[str | int, ...]


def read_tree(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    return json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)


def write_tree(file: Path, content: Any) -> None:
    is_json = file.suffix == ".json"
    text = json.dumps(content) if is_json else yaml.safe_dump(content, sort_keys=False)
    file.write_text(text, encoding="utf-8")


def mutators_of(
    name: str,
    changes: dict[str, Change],
    read: Callable[[Path], Any] = read_tree,
    write: Callable[[Path, Any], object] = write_tree,
) -> list[Mutator]:
    """Return one mutator of the file ``name`` for each change."""

    def mutator(title: str) -> Mutator:
        def mutate(rng: Random, project: Path) -> str:
            content = read(project / name)
            changed = changes[title](rng, content)
            write(project / name, content if changed is None else changed)
            return f"{name}: {title}"

        return mutate

    return [mutator(title) for title in changes]


def bytes_mutators(name: str) -> list[Mutator]:
    return mutators_of(name, BYTES, Path.read_bytes, Path.write_bytes)


def tree_mutator(name: str) -> Mutator:
    """Return a change of one place of a JSON or YAML file."""

    def mutate(rng: Random, project: Path) -> str:
        content = read_tree(project / name)
        what = _change_tree(rng, content)
        write_tree(project / name, content)
        return f"{name}: {what}"

    return mutate


# ---- one place of a tree

VALUES: dict[str, Callable[[Any], Any]] = {
    "null": lambda value: None,
    "True": lambda value: True,
    "an empty list": lambda value: [],
    "an empty mapping": lambda value: {},
    "a list around it": lambda value: [value],
    "a text": lambda value: "abc",
    "an empty text": lambda value: "",
    "the text of it": str,
}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "the same as a float": float,
    "half more": lambda value: value + 0.5,
    "one more": lambda value: value + 1,
    "negative": lambda value: -value - 1,
    "0": lambda value: 0,
    "100 times": lambda value: value * 100,
    "10**12 times": lambda value: value * 10**12,
    "NaN": lambda value: float("nan"),
    "infinity": lambda value: float("inf"),
}
AMONG = ("left out", "twice", "under another key", "exchanged", "in another order")


def _places(tree: Any, path: Place = ()) -> Iterator[Place]:
    """Yield the path of every value below the root."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


def _at(tree: Any, path: Place) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _change_tree(rng: Random, tree: Any) -> str:
    """Change one place, all x of all boxes as likely as one key at the top; return what."""
    kinds: dict[Place, list[Place]] = {}
    for path in _places(tree):
        kinds.setdefault(tuple("*" if type(p) is int else p for p in path), []).append(path)
    alike = kinds[rng.choice(sorted(kinds, key=str))]
    path = rng.choice(alike)
    parent, key = _at(tree, path[:-1]), path[-1]
    value = parent[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    change = rng.choice([*VALUES, *(NUMBERS if is_number else ()), *AMONG])
    if change == "exchanged":
        other = rng.choice(alike)
        parent[key], _at(tree, other[:-1])[other[-1]] = _at(tree, other), value
    elif change in AMONG:
        _rearrange(rng, parent, key, change)
    else:
        parent[key] = (VALUES | NUMBERS)[change](value)
    return f"{'.'.join(map(str, path))} {change}"


def _rearrange(rng: Random, parent: Any, key: str | int, change: str) -> None:
    if change == "left out":
        del parent[key]
    elif change == "in another order":
        items = list(parent.items() if isinstance(parent, dict) else parent)
        rng.shuffle(items)
        parent.clear()
        parent.update(items) if isinstance(parent, dict) else parent.extend(items)
    elif isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    else:
        parent.insert(key, copy.deepcopy(parent[key]))


# ---- bytes of a text


def _inserted(text: bytes) -> Change:
    def change(rng: Random, data: bytes) -> bytes:
        place = rng.randrange(len(data))
        return data[:place] + text + data[place:]

    return change


def flipped(rng: Random, data: bytes) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def _with_line_twice(rng: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    return b"".join([*lines[: place + 1], *lines[place:]])


BYTES: dict[str, Change] = {
    "cut": lambda rng, data: data[: rng.randrange(len(data))],
    "one bit changed": flipped,
    "empty": lambda rng, data: b"",
    "byte order mark": lambda rng, data: b"\xef\xbb\xbf" + data,
    "Windows line ends": lambda rng, data: data.replace(b"\n", b"\r\n"),
    "UTF-16": lambda rng, data: data.decode().encode("utf-16"),
    "a Latin-1 letter": _inserted(b"\xe4"),
    "a null byte": _inserted(b"\0"),
    "a tab": _inserted(b"\t"),
    "something behind": lambda rng, data: data + b"\n]x: y",
    "a line twice": _with_line_twice,
}
