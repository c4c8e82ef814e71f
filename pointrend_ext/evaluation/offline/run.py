"""One evaluation of saved predictions, from file names to one dict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointrend_ext.evaluation.bootstrap import draw_images
from pointrend_ext.evaluation.offline.data_sets import InstanceData, SemanticData
from pointrend_ext.evaluation.offline.instances import score_instance_files
from pointrend_ext.evaluation.offline.scores import difference_entries, model_entry
from pointrend_ext.evaluation.offline.semantics import score_label_files

__all__ = ["EvaluationOptions", "evaluate_files", "name_predictions"]

_USUAL_NAMES = ("coco_instances_results", "lvis_instances_results", "sem_seg_predictions")
_USUAL_FOLDERS = ("inference",)


@dataclass(frozen=True)
class EvaluationOptions:
    """What is computed.

    Attributes:
        metrics: names of metrics; None for all that are possible.
        ap_star_file: annotations in LVIS's format, for AP*; "" for none.
        num_draws: how often the images are drawn for the intervals; 0 for no intervals.
        seed: of the draws.
        level: share of the draws inside an interval.
    """

    metrics: tuple[str, ...] | None = None
    ap_star_file: str = ""
    num_draws: int = 300
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: Fewer than 0 draws, or a level outside 0..1.
        """
        if self.num_draws < 0:
            raise ValueError(f"The number of draws is {self.num_draws}; 0 gives no intervals.")
        if not 0 < self.level < 1:
            raise ValueError(f"The level of an interval lies between 0 and 1, not {self.level}.")


def evaluate_files(
    data: InstanceData | SemanticData, files: Mapping[str, str], options: EvaluationOptions
) -> dict[str, Any]:
    """Score saved predictions of one or several models.

    Args:
        data: what they are scored against.
        files: file or folder by name of the model; differences are taken from the first.
        options: what is computed.

    Returns:
        What ``evaluation.json`` holds; docs/evaluation.md describes it.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: An unknown metric, or a prediction that cannot be scored; the message names the
            file and the entry.
    """
    is_instance = isinstance(data, InstanceData)
    num_images = len(data.truth.sizes_hw if is_instance else data.image_files)
    weights = draw_images(num_images, options.num_draws, options.seed)
    if is_instance:
        models, examples = score_instance_files(
            data, files, options.metrics, options.ap_star_file, weights
        )
        source, classes = data.truth.source, list(data.truth.class_names.values())
    else:
        models, examples = score_label_files(data, files, options.metrics, weights)
        source, classes = data.label_root or "", list(data.class_names)
    return {
        "data_set": {
            "name": data.name,
            "kind": "instances" if is_instance else "semantic",
            "source": source,
            "num_images": num_images,
            "classes": classes,
        },
        "intervals": {
            "draws": options.num_draws, "seed": options.seed, "level": options.level,
        },
        "models": [model_entry(model, options.level) for model in models],
        "differences": difference_entries(models, options.level),
        "examples": examples,
    }  # fmt: skip


def name_predictions(words: Sequence[str]) -> dict[str, str]:
    """Split ``NAME=PATH``; a mere path is named after its file, or its folder.

    Args:
        words: what a user wrote.

    Raises:
        ValueError: Two of the same name.
    """
    named: dict[str, str] = {}
    for word in words:
        name, separator, path = word.partition("=")
        if not separator or os.path.exists(word):
            name, path = _name_of(Path(word)), word
        if name in named:
            raise ValueError(
                f"Two predictions are called {name!r} ({named[name]!r} and {path!r}); write "
                "NAME=PATH."
            )
        named[name] = path
    return named


def _name_of(path: Path) -> str:
    parts = [part for part in path.resolve().parts if part not in _USUAL_FOLDERS]
    stem = Path(parts[-1]).stem
    return parts[-2] if stem in _USUAL_NAMES and len(parts) > 1 else stem
