"""A configuration that notes what is read from it."""

from dataclasses import dataclass, field
from typing import Any

from detectron2.config import CfgNode

__all__ = ["Reads", "RecordingNode"]


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
