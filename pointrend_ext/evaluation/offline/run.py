"""One evaluation of saved predictions, from file names to one dict."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pointrend_ext.evaluation.offline.bootstrap import draw_images
from pointrend_ext.evaluation.offline.counted import score_label_files, score_segment_files
from pointrend_ext.evaluation.offline.data_sets import InstanceData, PanopticData, SemanticData
from pointrend_ext.evaluation.offline.instances import score_instance_files
from pointrend_ext.evaluation.offline.options import EvaluationOptions
from pointrend_ext.evaluation.offline.record import Evaluation, Examples, Intervals

_USUAL_NAMES = (
    *(f"{rules}_instances_results" for rules in ("coco", "lvis", "cityscapes")),
    "sem_seg_predictions",
    "panoptic_predictions",
)


def evaluate_files(
    data: InstanceData | SemanticData | PanopticData,
    files: Mapping[str, str],
    options: EvaluationOptions,
) -> Evaluation:
    """Score saved predictions of one or several models.

    Args:
        data: what they are scored against.
        files: file or folder by name of the model; differences are taken from the first.
        options: what is computed.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: an unknown metric, or a prediction that cannot be scored, with file and entry.
    """
    described = data.record
    weights = draw_images(described.num_images, options.num_draws, options.seed)
    examples: Examples
    if isinstance(data, InstanceData):
        models, examples, notices = score_instance_files(data, files, options, weights)
    elif isinstance(data, PanopticData):
        models, examples, notices = score_segment_files(data, files, options, weights)
    else:
        models, examples, notices = score_label_files(data, files, options, weights)
    return Evaluation(
        described,
        Intervals(options.num_draws, options.seed, options.level),
        tuple(model.record(options.level) for model in models),
        tuple(other.minus(models[0], options.level) for other in models[1:]),
        examples,
        tuple(notices),
    )


def name_predictions(words: Sequence[str]) -> dict[str, str]:
    """Split ``NAME=PATH``; a mere path is named after its file, or its folder."""
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
    parts = [part for part in path.resolve().parts if part != "inference"]
    stem = Path(parts[-1]).stem
    return parts[-2] if stem in _USUAL_NAMES and len(parts) > 1 else stem
