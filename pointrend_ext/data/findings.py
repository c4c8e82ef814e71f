"""What a check of data found: a number per cause and the first place of each, said once."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from pointrend_ext._command import escaped

_WARN_SHARE = 0.05


def first_of(items: Sequence[Any], most: int = 3) -> str:
    """Return the first items for a message."""
    return ", ".join(map(str, items[:most])) + (", ..." if len(items) > most else "")


class Kind(Enum):
    """What happened to a thing that was found."""

    LEFT_OUT = "left out"
    CHANGED = "changed"
    NOTED = "noted"


@dataclass(frozen=True)
class Cause:
    """One cause; the module that looks for it has it as a constant.

    Attributes:
        kind: what happens to each thing found.
        text: what is found, in the plural: "annotations whose box has no area".
        is_expected: clean data sets have it too (crowds): told, but never a warning below 5 %.
        of: what its share is of, where that is not what the check counts: "images".
    """

    kind: Kind
    text: str
    is_expected: bool = False
    of: str = ""


@dataclass
class Findings:
    """Counts of one file or data set.

    Attributes:
        num_checked: how many things were looked at, what shares are of.
        counts: number per cause.
        first: the first place of each cause, such as "annotation 3 of image 7".
        others: how many other things were looked at, by the ``of`` of their causes.
        said: causes that ``unsaid`` has returned, of these findings or of a part of them.
    """

    num_checked: int = 0
    counts: dict[Cause, int] = field(default_factory=dict)
    first: dict[Cause, str] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    said: set[Cause] = field(default_factory=set, compare=False)

    def add(self, cause: Cause, place: str, number: int = 1) -> None:
        """Count ``number`` cases."""
        self.counts[cause] = self.counts.get(cause, 0) + number
        self.first.setdefault(cause, place)

    def lines(self) -> list[str]:
        """Return one line per cause, the most frequent first."""
        ordered = sorted(self.counts.items(), key=lambda item: -item[1])
        return [
            f"{number} of {self._total(cause)} ({self._share(cause):.1%}) {cause.kind.value}: "
            f"{cause.text}; first: {escaped(self.first[cause])}"
            for cause, number in ordered
        ]

    def without(self, causes: Collection[Cause]) -> "Findings":
        """Return the findings of other causes."""
        kept = {cause: number for cause, number in self.counts.items() if cause not in causes}
        return replace(self, counts=kept)

    def serious(self) -> "Findings":
        """Return what deserves a warning: unexpected causes, and those of 5 % or more."""
        return self.without(
            {c for c in self.counts if c.is_expected and self._share(c) < _WARN_SHARE}
        )

    def unsaid(self) -> "Findings":
        """Return what this has not returned before, for those who share a log."""
        found = self.without(self.said)
        self.said.update(self.counts)
        return found

    def log(self, logger: logging.Logger, what: str) -> None:
        """Log all lines as one message: a WARNING where a cause is unexpected or is 5 % or more."""
        if not self.counts:
            return
        level = logging.WARNING if self.serious().counts else logging.INFO
        logger.log(level, "%s: %s", what, "\n  ".join(self.lines()))

    def _share(self, cause: Cause) -> float:
        return self.counts[cause] / max(self._total(cause), 1)

    def _total(self, cause: Cause) -> int:
        return self.others.get(cause.of, self.num_checked)

    def to_rows(self) -> list[list[str | int | bool]]:
        """Return what JSON can hold; ``from_rows`` is the inverse but for ``num_checked``."""
        return [
            [c.kind.name, c.text, c.is_expected, number, self.first[c]]
            for c, number in self.counts.items()
        ]

    @classmethod
    def from_rows(cls, rows: Iterable[list], num_checked: int) -> "Findings":
        """Restore what ``to_rows`` returned."""
        found = cls(num_checked)
        for kind, text, is_expected, number, place in rows:
            found.add(Cause(Kind[kind], text, is_expected), place, number)
        return found
