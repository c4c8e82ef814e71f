"""What a benchmark case is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Forms"]


@dataclass
class Forms:
    """The forms of one case, ready to run.

    Attributes:
        run: by name; "upstream" and "ours" where both can run.
        check: compares what two of them returned in the timed rounds; raises AssertionError, and
            returns a sentence for the report.
    """

    run: Mapping[str, Callable[[], Any]]
    check: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        group: heading it belongs to.
        name: what is computed.
        build: makes the forms, given a device.
        baseline: form that a ratio is taken against.
        min_ratio: how many times faster ours has to be, if anything is demanded.
        max_mib: how much extra memory ours may take, if anything is demanded.
    """

    group: str
    name: str
    build: Callable[[str], Forms] = field(repr=False)
    baseline: str = "upstream"
    min_ratio: float | None = None
    max_mib: float | None = None
