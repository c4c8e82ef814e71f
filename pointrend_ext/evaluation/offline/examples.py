"""Images in which models differ most."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pointrend_ext.evaluation.offline.bootstrap import CountedMetrics
from pointrend_ext.evaluation.offline.record import ImageExample

_IMAGES = 40  # how many images are listed


def compare_images(
    metrics: CountedMetrics,
    files: Sequence[tuple[str, str]],
    counts: Mapping[str, Mapping[str, np.ndarray]],
    shown: Sequence[str],
) -> tuple[ImageExample, ...]:
    """List the images in which the models differ most; with one model those it scores worst.

    Args:
        metrics: what was counted.
        files: of each image its file, and that of its truth.
        counts: by model, the counts of single images stacked.
        shown: names of the scores that are listed; the last one decides.
    """
    ranked = []
    for index, own in enumerate(files):
        models = {}
        for name, arrays in counts.items():
            scores = metrics.scores({key: array[index] for key, array in arrays.items()})
            models[name] = {key: scores[key] for key in dict.fromkeys(shown)}
        values = [scores[shown[-1]] for scores in models.values()]
        if any(map(math.isnan, values)):
            continue  # all of it is ignored
        spread = max(values) - min(values) if len(values) > 1 else 100 - values[0]
        ranked.append((-spread, index, ImageExample(*own, index, models)))
    return tuple(example for *_, example in sorted(ranked, key=lambda r: r[:2])[:_IMAGES])
