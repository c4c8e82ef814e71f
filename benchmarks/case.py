"""What a benchmark case is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Forms"]


@dataclass(frozen=True)
class Forms:
    """The forms of one case, ready to run.

    Attributes:
        run: by name; "upstream" and "ours" where both can run.
        check: compares what they returned in the last timed round; raises AssertionError, and
            returns a sentence for the report.
        prepare: called with a form's name before each of its runs, outside its time.
        parameters: how many a form has, where that is of interest.
        keep: what has to live as long as the forms, such as a temporary folder.
    """

    run: Mapping[str, Callable[[], Any]]
    check: Callable[[Mapping[str, Any]], str]
    prepare: Callable[[str], object] = lambda name: None
    parameters: Mapping[str, int] = field(default_factory=dict)
    keep: object = None


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        group: heading it belongs to.
        name: what is computed.
        build: makes the forms, given a device.
        min_ratio, max_mib: how many times faster ours has to be, and how much extra memory it may
            take, if anything is demanded.
        warm_memory: whether memory is that of a second run, or of the first.
        has_memory: whether the memory of each form is measured.
        own_process: whether each run is timed in a process of its own, as runs of one process would
            feel the earlier ones; ``Forms.check`` is given no results then.
    """

    group: str
    name: str
    build: Callable[[str], Forms] = field(repr=False)
    min_ratio: float | None = None
    max_mib: float | None = None
    warm_memory: bool = True
    has_memory: bool = True
    own_process: bool = False

    @property
    def title(self) -> str:
        """How the case is called on the command line."""
        return f"{self.group}: {self.name}"
