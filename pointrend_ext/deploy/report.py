"""What a checked export has measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from pointrend_ext.deploy.checks import Figure


@dataclass(frozen=True)
class ExportReport:
    """The figures of a check.

    Attributes:
        path: the file.
        figures: what was measured, and its limits.
        megabytes: size of the file, in 10^6 bytes; 0 if it was not written.
    """

    path: Path
    figures: Sequence[Figure]
    megabytes: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether every figure is within its limit."""
        return all(figure.holds for figure in self.figures)

    def by_name(self) -> dict[str, float]:
        """Return the figures as the file keeps them."""
        return {figure.name: figure.value for figure in self.figures}

    def table(self) -> str:
        """Write the figures for a terminal."""
        rows = [
            (x.name, f"{x.value:.3g}", "" if x.limit is None else f"{x.limit:g}")
            for x in self.figures
        ]
        return tabulate(rows, headers=("compared with the model", "found", "at most"))

    def raise_if_wrong(self) -> None:
        """Refuse a file that is not what its model is.

        Raises:
            ValueError: a figure is beyond its limit.
        """
        wrong = [f"{x.name} {x.value:.3g} (at most {x.limit:g})" for x in self.figures
                 if x.limit is not None and not x.holds]  # fmt: skip
        if wrong:
            raise ValueError(
                f"The exported graph does not predict what the model predicts: {'; '.join(wrong)}. "
                f"{self.path} was not written. A model with random weights may differ so by ties "
                "alone: export a trained one."
            )
