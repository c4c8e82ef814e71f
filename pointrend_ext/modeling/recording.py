"""A configuration as dotted names, and one that notes what is read from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from detectron2.config import CfgNode, get_cfg

from pointrend_ext.config import add_pointrend_config

_MAX_DEPTH = 20  # of sections; deeper ones are aliases of YAML that hold themselves


def leaves(
    node: Mapping[str, Any], prefix: str = "", source: str = "the configuration"
) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value); a section without keys counts as a value."""
    for key, value in node.items():
        if not isinstance(key, str):
            where = f" below {prefix[:-1]}" if prefix else ""
            raise ValueError(
                f"{source}: the key {key!r}{where} is no text. YAML reads bare numbers, dates and "
                "words such as on and yes as values; names of the configuration are none of these."
            )
        if prefix.count(".") >= _MAX_DEPTH:
            raise ValueError(f"{source}: {prefix[:-1]} is nested too deeply, or holds itself.")
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.", source)
        else:
            yield f"{prefix}{key}", value


def default_values() -> dict[str, Any]:
    """Return the default of every key, by dotted name."""
    cfg = get_cfg()
    add_pointrend_config(cfg)
    return dict(leaves(cfg))


@dataclass
class Reads:
    """The keys that were read, by every clone of a configuration too.

    Attributes:
        keys: dotted names of values, and of the sections on the way; the last one was read last.
        stated: names that a user stated, and the file; "" for the command line.
        outer: notes as well.
    """

    keys: dict[str, None] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)
    outer: "Reads | None" = None

    def note(self, key: str) -> None:
        """Take down that a key was read."""
        self.keys.pop(key, None)
        self.keys[key] = None
        if self.outer is not None:
            self.outer.note(key)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Reads":
        return self


class RecordingNode(CfgNode):
    """A node that notes the full names of the keys read from it, or from a clone of it.

    Attributes:
        reads: where they are noted.
    """

    reads: Reads

    @classmethod
    def of(cls, node: CfgNode, reads: Reads, prefix: str = "") -> "RecordingNode":
        """Copy a node; one that records already goes on to do so."""
        if not prefix and isinstance(node, cls):
            reads.outer = node.reads
        recording = cls()
        for key, value in node.items():
            is_node = isinstance(value, CfgNode)
            value = cls.of(value, reads, f"{prefix}{key}.") if is_node else value
            dict.__setitem__(recording, key, value)
        recording.__dict__.update(node.__dict__, reads=reads, _prefix=prefix)
        return recording

    def __getitem__(self, key: str) -> Any:
        self.reads.note(self._prefix + key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value or the default."""
        self.reads.note(self._prefix + key)
        return super().get(key, default)
