"""Plots of an evaluation, as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pointrend_ext.evaluation.report.html import data_uri, model_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_by_size",
    "plot_classes",
    "plot_curves",
    "plot_over_iou",
    "plot_reliability",
    "shown_classes",
]

_MOST_CLASSES = 60  # half of them from either end
_IOUS = tuple(range(50, 100, 5))
_SIZES = {"APs": "small", "APm": "medium", "APl": "large"}


def plot_over_iou(evaluation: Mapping[str, Any], tasks: Sequence[str], titles: Mapping) -> str:
    """Plot AP over the IoU threshold with intervals, one plot per task.

    Args:
        evaluation: content of ``evaluation.json``.
        tasks: tasks of instances.
        titles: by task.

    Returns:
        A data URI.
    """
    figure, all_axes = _figure(len(tasks), (3.9, 3.0))
    for axes, task in zip(all_axes, tasks, strict=True):
        for number, model in enumerate(evaluation["models"]):
            scores = [model["scores"][task][f"AP{iou}"] for iou in _IOUS]
            x, values, low, high = (np.array(v, float) for v in (_IOUS, *_columns(scores)))
            color = model_color(number)
            axes.plot(x / 100, values, marker=".", color=color, label=model["name"])
            axes.fill_between(x / 100, low, high, color=color, alpha=0.15, linewidth=0)
        axes.set(title=titles[task], xlabel="IoU threshold", ylabel="AP", ylim=(0, None))
    all_axes[0].legend(fontsize=8)
    return _svg(figure)


def plot_by_size(evaluation: Mapping[str, Any], tasks: Sequence[str], titles: Mapping) -> str:
    """Plot AP by object size as bars with intervals, one plot per task.

    Args:
        evaluation: content of ``evaluation.json``.
        tasks: tasks of instances.
        titles: by task.

    Returns:
        A data URI.
    """
    figure, all_axes = _figure(len(tasks), (3.9, 2.8))
    for axes, task in zip(all_axes, tasks, strict=True):
        scores = [[m["scores"][task][name] for name in _SIZES] for m in evaluation["models"]]
        _bars(axes, list(_SIZES.values()), evaluation, scores)
        axes.set(title=titles[task], ylabel="AP", ylim=(0, None))
    all_axes[0].legend(fontsize=8, loc="upper left")  # large objects have the highest bars
    return _svg(figure)


def plot_classes(evaluation: Mapping[str, Any], task: str, prefix: str, title: str) -> str:
    """Plot the score of each class as horizontal bars, the largest difference on top.

    Args:
        evaluation: content of ``evaluation.json``.
        task: the task.
        prefix: of the metrics, such as "AP-".
        title: of the plot.

    Returns:
        A data URI.
    """
    models = evaluation["models"]
    metrics, _ = shown_classes(evaluation, task, prefix)
    scores = [[model["scores"][task][metric] for metric in metrics] for model in models]
    height = 0.9 + len(metrics) * (0.12 + 0.13 * len(models))
    figure, (axes,) = _figure(1, (7.5, height))
    _bars(axes, [m.removeprefix(prefix) for m in metrics], evaluation, scores, is_horizontal=True)
    axes.set(title=title, xlim=(0, None))
    axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(models))
    return _svg(figure)


def shown_classes(
    evaluation: Mapping[str, Any], task: str, prefix: str
) -> tuple[list[str], tuple[int, int]]:
    """Choose what ``plot_classes`` shows.

    Args:
        evaluation: content of ``evaluation.json``.
        task: the task.
        prefix: of the metrics.

    Returns:
        The metrics, the largest gain of the last model over the first one (of one model, the best
        score) last; and how many classes are left out, because all models score 0, and because they
        are in the middle of too many. Classes without a value are counted nowhere.
    """
    models = evaluation["models"]
    metrics = [m for m in models[0]["scores"][task] if m.startswith(prefix)]
    values = {m: [model["scores"][task][m]["value"] for model in models] for m in metrics}
    values = {m: v for m, v in values.items() if None not in v}
    metrics = [m for m, v in values.items() if any(v)]
    num_zero = len(values) - len(metrics)
    metrics.sort(key=lambda m: values[m][-1] - values[m][0] if len(models) > 1 else values[m][0])
    num_middle = max(0, len(metrics) - _MOST_CLASSES)
    half = _MOST_CLASSES // 2
    return (metrics[:half] + metrics[-half:] if num_middle else metrics), (num_zero, num_middle)


def plot_reliability(evaluation: Mapping[str, Any]) -> str:
    """Plot how many predictions were right over their score, one plot per IoU.

    Args:
        evaluation: content of ``evaluation.json``.

    Returns:
        A data URI.
    """
    ious = list(evaluation["models"][0]["reliability"][0]["precision"])
    figure, all_axes = _figure(len(ious), (3.3, 3.0))
    for axes, iou in zip(all_axes, ious, strict=True):
        axes.plot([0, 1], [0, 1], color="#a1a1aa", linewidth=1, linestyle="--")
        for number, model in enumerate(evaluation["models"]):
            bins = [b for b in model["reliability"] if b["precision"][iou] is not None]
            axes.plot(
                [b["mean_score"] for b in bins],
                [b["precision"][iou] for b in bins],
                marker="o",
                markersize=4,
                color=model_color(number),
                label=model["name"],
            )
        axes.set(title=f"right at IoU {iou}", xlabel="score", xlim=(0, 1), ylim=(0, 1))
    all_axes[0].set_ylabel("share of right predictions")
    all_axes[0].legend(fontsize=8)
    return _svg(figure)


def plot_curves(curves: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> str:
    """Plot training losses.

    Args:
        curves: per run, loss -> [[iteration, value], ...].

    Returns:
        A data URI.
    """
    names = list(dict.fromkeys(name for losses in curves.values() for name in losses))
    figure, all_axes = _figure(len(names), (3.0, 2.6))
    for axes, name in zip(all_axes, names, strict=True):
        for number, (run, losses) in enumerate(curves.items()):
            points = np.array(losses.get(name, np.zeros((0, 2))), dtype=float).reshape(-1, 2)
            color = model_color(number)
            axes.plot(points[:, 0], points[:, 1], linewidth=1, color=color, label=run)
        axes.set(title=name, xlabel="iteration")
    all_axes[0].legend(fontsize=8)
    return _svg(figure)


def _figure(count: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "The report needs matplotlib: pip install 'pointrend-ext[report]'."
        ) from error
    figure = Figure(figsize=(size[0] * count, size[1]), layout="constrained")
    all_axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.25)
    return figure, all_axes


def _bars(
    axes: Axes,
    names: Sequence[str],
    evaluation: Mapping[str, Any],
    scores: Sequence[Sequence[Mapping[str, float | None]]],
    *,
    is_horizontal: bool = False,
) -> None:
    """Draw groups of bars, one group per name and one bar per model."""
    places, thickness = np.arange(len(names)), 0.8 / len(scores)
    for number, (model, own) in enumerate(zip(evaluation["models"], scores, strict=True)):
        shift = (number - (len(scores) - 1) / 2) * thickness
        values, low, high = (np.array(column, dtype=float) for column in _columns(own))
        look = {"color": model_color(number), "label": model["name"]}
        error = np.nan_to_num(np.stack([values - low, high - values])).clip(0)
        ink = {"elinewidth": 0.8, "ecolor": "#3f3f46"}
        heights = np.nan_to_num(values)
        if is_horizontal:
            where = places - shift  # the first model on top
            axes.barh(where, heights, thickness, xerr=error, error_kw=ink, **look)
        else:
            axes.bar(places + shift, heights, thickness, yerr=error, error_kw=ink, **look)
    if is_horizontal:
        axes.set_yticks(places, names)
        axes.set_ylim(-0.6, len(names) - 0.4)
    else:
        axes.set_xticks(places, names)


def _columns(scores: Sequence[Mapping[str, float | None]]) -> list[list[float]]:
    """Return values and ends of the intervals; the value where there is no interval."""
    values = [float("nan") if s["value"] is None else s["value"] for s in scores]
    low = [v if s["low"] is None else s["low"] for s, v in zip(scores, values, strict=True)]
    high = [v if s["high"] is None else s["high"] for s, v in zip(scores, values, strict=True)]
    return [values, low, high]


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "report", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")
