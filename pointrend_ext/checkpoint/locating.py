"""Finds the weights in what a file holds: in which container, and behind which prefix of names.

A file is taken as a tree: dictionaries in one another, and in the last of them names with dots. A
place in it is what stands before the names of the model, or of a known format: ``state_dict.model``
(Lightning), ``model.backbone.0.body`` (DETR), ``ema.module``. The place that explains most tensors
is taken; of several that are alike, the one that is not an average of the other.
"""

import bisect
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointrend_ext.checkpoint.errors import WeightsFileError, printable, shown
from pointrend_ext.checkpoint.name_tables import FORMATS

logger = logging.getLogger(__name__)

# Where training frameworks keep the weights inside what they save, first match first; "blobs" is
# Detectron's, "model_state" that of pycls.
CONTAINERS = ("model", "state_dict", "model_state_dict", "model_state", "blobs", "weights")
AVERAGES = re.compile(
    r"((?<![A-Za-z])ema|EMA|Ema)(?![a-z])|(?<![A-Za-z])(swa|SWA)(?![a-z])|[Aa]verag|[Pp]olyak|"
    r"shadow|encoder_k|momentum_encoder|target_(encoder|network)"
)
DEEPEST = 6  # containers in one another
MOST_DOTS = 12  # of a name that may belong to a prefix
MOST_PLACES = 8
FOREIGN = [known for known in FORMATS if known.renames or known.partial_names]
PATTERNS = sorted({pattern for known in FOREIGN for pattern in known.required})
# No name fits two of them.
ANY_PATTERN = re.compile("|".join(f"(?P<p{i}>{pattern})" for i, pattern in enumerate(PATTERNS)))


@dataclass(frozen=True)
class Located:
    """Weights in a file.

    Attributes:
        state: name -> tensor, without what stands before all names.
        extras: what else the outermost dictionary holds.
        place: what stands before the names; "" if nothing does.
        beside: tensors in the same dictionary that are elsewhere.
        others: other places that hold as many weights of the same kind.
    """

    state: dict[str, Tensor]
    extras: dict[str, Any]
    place: str = ""
    beside: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def log(self, source: str) -> None:
        """Say where the weights are, and what is not taken."""
        if self.place not in ("", *CONTAINERS):
            logger.info("The weights in %s are taken from '%s'.", source, printable(self.place))
        if self.beside:
            text = "%d tensors in %s are no part of these weights: %s."
            logger.info(text, len(self.beside), source, shown(self.beside))
        for place in self.others:
            logger.warning(
                "%s also holds %s weights, under '%s': they are not taken. To take them: "
                "--weights-key %s (weights_key in Python).",
                *(source, "averaged" if AVERAGES.search(place) else "other"),
                *(printable(place), printable(place)),
            )


@dataclass(frozen=True)
class Place:
    """A dictionary in a file, and the beginning of its names."""

    path: tuple[str, ...] = ()
    prefix: str = ""

    def __str__(self) -> str:
        """Write it as the user gives it."""
        return ".".join((*self.path, self.prefix.removesuffix("."))).removesuffix(".")

    def is_in(self, key: str) -> bool:
        """Whether a key that the user gave is this place or the beginning of it."""
        return not key or f"{self}.".startswith(f"{key.removesuffix('.')}.")

    def overlaps(self, other: "Place") -> bool:
        """Whether one is inside of the other."""
        prefixes = sorted((self.prefix, other.prefix), key=len)
        return self.path == other.path and prefixes[1].startswith(prefixes[0])


def find_weights(
    data: Any,
    source: str,
    model_names: Collection[str],
    *,
    key: str = "",
    complete_names: bool = False,
) -> Located:
    """Find the weights in ``data``, the content of the file ``source``.

    Args:
        data: from ``read_weights_file``.
        source: its name, for messages.
        model_names: names of the model's tensors.
        key: where the weights are, as ``Located.place`` or the beginning of it; "" to find them.
        complete_names: whether names are the ends of the model's names.

    Raises:
        WeightsFileError: there are none, none under ``key``, or it is not clear which are meant.
    """
    mappings = _list_mappings(data, key)
    if not mappings:
        keys = shown(repr(key) for key in data) if isinstance(data, Mapping) else ""
        found = (keys or "no keys") if isinstance(data, Mapping) else f"a {type(data).__name__}"
        raise WeightsFileError(
            f"{source} holds no tensors by name (found {found}): give a file that holds "
            "model.state_dict(), alone or under the key 'model'."
        )
    known = {end for name in model_names for end in _ends(name)} if complete_names else model_names
    places = _find_places(mappings, set(known), key)
    if not places and not key:  # of an unknown kind: the largest
        places = [Place(max(mappings, key=lambda path: len(mappings[path])))]
    chosen = _choose(places, source, key, mappings)
    tensors, prefix = mappings[chosen.path], chosen.prefix
    outermost = {*chosen.path[:1]} or tensors.keys()
    return Located(
        {name[len(prefix) :]: v for name, v in tensors.items() if name.startswith(prefix)},
        {name: value for name, value in data.items() if name not in outermost},
        str(chosen),
        tuple(name for name in tensors if not name.startswith(prefix)),
        tuple(str(place) for place in places if place != chosen),
    )


def _list_mappings(data: Any, key: str) -> dict[tuple[str, ...], dict[str, Tensor]]:
    """Return the tensors of each dictionary that has any, by its path; each dictionary once.

    One that several entries share is listed under that of ``key``, if it is there.
    """
    queue: list[tuple[tuple[str, ...], Any]] = [_follow(data, key), ((), data)]
    found: dict[tuple[str, ...], dict[str, Tensor]] = {}
    seen = set()
    for path, mapping in queue:
        if not isinstance(mapping, Mapping) or id(mapping) in seen or len(path) > DEEPEST:
            continue
        seen.add(id(mapping))
        tensors = {}
        for name, value in mapping.items():
            if not isinstance(name, str):
                continue
            if isinstance(value, Tensor):
                tensors[name] = value.detach()
            elif isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
                tensors[name] = torch.from_numpy(np.asarray(value))
            else:
                queue.append(((*path, name), value))
        if tensors:
            found[path] = tensors
    return found


def _follow(data: Any, key: str) -> tuple[tuple[str, ...], Any]:
    """Return the path that a weights key begins with, as far as there are dictionaries."""
    path: tuple[str, ...] = ()
    while key and isinstance(data, Mapping):
        names = (n for n in data if isinstance(n, str) and n and f"{key}.".startswith(f"{n}."))
        name = next((n for n in names if isinstance(data[n], Mapping)), None)
        if name is None:
            break
        path, key, data = (*path, name), key[len(name) + 1 :], data[name]
    return path, data


def _ends(name: str) -> Iterator[str]:
    """Yield a name, and what stands behind each of its first dots."""
    start = 0
    for _ in range(MOST_DOTS):
        yield name[start:]
        start = name.find(".", start) + 1
        if not start:
            return


def _find_places(
    mappings: Mapping[tuple[str, ...], Collection[str]], known: set[str], key: str
) -> list[Place]:
    """List where the weights may be, what explains most tensors first.

    Of prefixes that begin alike the best alone is listed, and no place that explains less than half
    of what the best does.
    """
    scores: dict[Place, int] = {}
    for path, tensors in mappings.items():
        hits: Counter[str] = Counter()
        patterns = defaultdict(set)  # those of known formats that are found behind a prefix
        for full in tensors:
            for name in _ends(full):
                prefix = full[: len(full) - len(name)]
                hits[prefix] += name in known
                match = ANY_PATTERN.match(name)
                if match:
                    patterns[prefix].add(PATTERNS[int(str(match.lastgroup)[1:])])
        names = sorted(tensors)
        for prefix, found in patterns.items():
            if any(found.issuperset(weights_format.required) for weights_format in FOREIGN):
                ends = (bisect.bisect_left(names, end) for end in (prefix, f"{prefix}\U0010ffff"))
                hits[prefix] = max(hits[prefix], -next(ends) + next(ends))
        scores |= {Place(path, prefix): count for prefix, count in (+hits).items()}
    inside = [place for place in scores if place.is_in(key)]
    places: list[Place] = []
    for place in sorted(inside, key=lambda place: (-scores[place], len(place.prefix))):
        if len(places) == MOST_PLACES or scores[place] * 2 < scores[places[0] if places else place]:
            break
        if not any(place.overlaps(other) for other in places):
            places.append(place)
    return places


def _choose(
    places: list[Place], source: str, key: str, mappings: Mapping[tuple[str, ...], Collection[str]]
) -> Place:
    """Return the place that is meant."""
    if not places:
        held = shown(sorted(repr(str(Place(path))) for path in mappings))
        raise WeightsFileError(
            f"{source} holds no weights of a known kind under {key!r}, the weights key; it has "
            f"tensors under {held}. Correct the key, or leave it out."
        )
    plain = [place for place in places if not AVERAGES.search(str(place))] or places
    if len(plain) == 1 or key:
        return plain[0]
    ranks = {name: rank for rank, name in enumerate(CONTAINERS)}
    firsts = sorted(ranks.get(place.path[0] if place.path else "", len(ranks)) for place in plain)
    if firsts[0] < firsts[1]:
        return next(p for p in plain if p.path and ranks.get(p.path[0]) == firsts[0])
    listed = shown(sorted(repr(str(place)) for place in plain))
    raise WeightsFileError(
        f"{source} holds weights that fit in several places, {listed}: choose one of them with "
        "--weights-key (weights_key in Python)."
    )
