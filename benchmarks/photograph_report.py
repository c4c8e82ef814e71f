"""Mask quality of models with several seeds: intervals over images, spread over seeds, a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.report import markdown_table
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.mask_quality import MaskQuality
from pointrend_ext.evaluation.offline.bootstrap import draw_images, estimate
from pointrend_ext.evaluation.offline.record import Score

__all__ = ["SIZES", "draw_groups", "overview", "summarize", "table", "tables"]

SIZES = ("", "-small", "-medium", "-large")
_METRICS = {"IoU": "mask IoU", "BoundaryIoU": "boundary IoU"}
_DRAWS, _SEED = 2000, 1
_DIGITS = 4


def draw_groups(groups: Sequence[Any]) -> np.ndarray:
    """Draw samples of the images, of which those of one group come together.

    Args:
        groups: of each of I images: its sequence, whose frames are alike, or itself.

    Returns:
        (1 + B, I) how often an image is in each sample; first, every image once.
    """
    names, number = np.unique(groups, return_inverse=True)
    draws = draw_images(len(names), _DRAWS, _SEED)[:, number]
    return np.concatenate([np.ones((1, len(number)), dtype=np.int64), draws])


def summarize(
    truth: CocoTruth, qualities: Mapping[str, Sequence[MaskQuality]], baseline: str, group: str
) -> dict[str, Any]:
    """Average over the seeds, and compare every model with one.

    Args:
        truth: of the data set.
        qualities: by model, one of each seed; the n-th of two models are compared.
        baseline: the model to compare with.
        group: key of an image that tells of which group it is, such as "sequence", or "id".

    Returns:
        ``objects`` by size; ``models`` and ``ahead`` of the baseline: by model and metric
        ``value``, ``low`` and ``high`` (the interval of the mean over the seeds) and ``seeds``.
    """
    weights = draw_groups([image[group] for image in truth.dataset["images"]])
    samples = {model: [q.means(weights) for q in own] for model, own in qualities.items()}
    first = next(iter(qualities.values()))[0]
    return {
        "objects": first.counts(),
        "models": {model: _estimates(own, (0.0, 100.0)) for model, own in samples.items()},
        "ahead": {
            model: _estimates(_differences(own, samples[baseline]), (-100.0, 100.0))
            for model, own in samples.items()
            if model != baseline
        },
    }


_Samples = Mapping[str, np.ndarray]  # (1 + B,) by metric


def _differences(own: Sequence[_Samples], other: Sequence[_Samples]) -> list[_Samples]:
    pairs = zip(own, other, strict=False)  # as many seeds as both have
    return [{name: a[name] - b[name] for name in a} for a, b in pairs]


def _estimates(seeds: Sequence[_Samples], bounds: tuple[float, float]) -> dict[str, Any]:
    found = {}
    for name in seeds[0]:
        mean = np.mean([seed[name] for seed in seeds], axis=0)
        score = estimate(float(mean[0]), mean[1:], bounds=bounds)
        own = [float(seed[name][0]) for seed in seeds]
        values: dict[str, Any] = {"value": score.value, "low": score.low, "high": score.high}
        found[name] = {k: v if v is None else round(v, _DIGITS) for k, v in values.items()}
        has_objects = score.value is not None
        found[name]["seeds"] = [round(v, _DIGITS) for v in own] if has_objects else []
    return found


def tables(summaries: Mapping[str, Any]) -> str:
    """Return the Markdown tables of several data sets, by title."""
    return "\n".join(f"**{title}**\n\n{table(own)}" for title, own in summaries.items())


def table(summary: Mapping[str, Any]) -> str:
    """Return a Markdown table per metric of what ``summarize`` returns, a column per size."""
    sizes = [size for size in SIZES if summary["objects"][size.lstrip("-") or "all"]]
    heads = [
        f"{s.lstrip('-') or 'all'} ({summary['objects'][s.lstrip('-') or 'all']})" for s in sizes
    ]
    text = ""
    for metric, title in _METRICS.items():
        rows = [
            [model, *(_cell(values[metric + size], signed=False) for size in sizes)]
            for model, values in summary["models"].items()
        ]
        rows += [
            [f"{model}: ahead", *(_cell(values[metric + size], signed=True) for size in sizes)]
            for model, values in summary["ahead"].items()
        ]
        text += markdown_table([title, *heads], rows) + "\n"
    return text.removesuffix("\n")


def overview(summaries: Mapping[str, Any], metric: str = "BoundaryIoU-large") -> str:
    """Return one Markdown table of one metric: a row per model, two columns per data set."""
    titles = ["boundary IoU of large objects"]
    rows: dict[str, list[str]] = {}
    for title, summary in summaries.items():
        titles += [title, "ahead"]
        for model, values in summary["models"].items():
            ahead = summary["ahead"].get(model)
            row = rows.setdefault(model, [model])
            row.append(_cell(values[metric], signed=False))
            row.append(_cell(ahead[metric], signed=True) if ahead else "")
    return markdown_table(titles, list(rows.values()))


def _cell(entry: Mapping[str, Any], *, signed: bool) -> str:
    """Write a value, its interval, and of several seeds the lowest and highest."""
    score = Score(entry["value"], entry["low"], entry["high"])
    seeds = [Score(value).text(signed=signed) for value in sorted(entry["seeds"])]
    spread = f"; {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else ""
    return f"{score.text(signed=signed)} {score.interval_text(signed=signed)}{spread}"
