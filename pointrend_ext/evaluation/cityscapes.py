"""Cityscapes instance AP without leftovers in the working folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detectron2.evaluation import CityscapesInstanceEvaluator

__all__ = ["CityscapesInstances"]


class CityscapesInstances(CityscapesInstanceEvaluator):
    """Detectron2's evaluator; the file ``matches.json`` of cityscapesScripts goes to a folder."""

    def __init__(self, dataset_name: str, output_dir: str) -> None:
        """Keep the folder.

        Args:
            dataset_name: a registered data set.
            output_dir: where ``matches.json`` is written, since cityscapesScripts would leave it
                in the working folder of the process.
        """
        super().__init__(dataset_name)
        self._output_dir = Path(output_dir)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what ``process`` has collected; None on other processes than the first."""
        with _matches_written_to(self._output_dir):
            return super().evaluate()


@contextlib.contextmanager
def _matches_written_to(output_dir: Path) -> Iterator[None]:
    from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as scripts

    original = scripts.writeDict2JSON

    def write(content: Any, file_name: str) -> None:
        output_dir.mkdir(parents=True, exist_ok=True)
        original(content, str(output_dir / file_name))  # an absolute name stays as it is

    scripts.writeDict2JSON = write
    try:
        yield
    finally:
        scripts.writeDict2JSON = original
