"""Plots of an evaluation, as SVG with their captions."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pointrend_ext.evaluation.offline.record import Evaluation, Score
from pointrend_ext.evaluation.offline.tables import TASK_TITLES
from pointrend_ext.evaluation.report.pictures import Picture, data_uri, model_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
"""Training losses by run: loss -> [[iteration, value], ...]."""

_MOST_CLASSES = 60  # half of them from either end
_IOUS = tuple(range(50, 100, 5))
_SIZES = {"APs": "small", "APm": "medium", "APl": "large"}


def tasks_with_ap(evaluation: Evaluation) -> list[str]:
    """Return the tasks of instances that are scored by AP."""
    return [task for task, own in evaluation.models[0].scores.items() if "AP" in own]


def plot_over_iou(evaluation: Evaluation) -> Picture:
    """Plot AP over the IoU threshold with intervals, one plot per task of instances."""

    def draw(axes: "Axes", task: str) -> None:
        for number, model in enumerate(evaluation.models):
            values, low, high = _columns(model.scores[task][f"AP{iou}"] for iou in _IOUS)
            x, color = np.array(_IOUS) / 100, model_color(number)
            axes.plot(x, values, marker=".", color=color, label=model.name)
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.set(title=TASK_TITLES[task], xlabel="IoU threshold", ylabel="AP", ylim=(0, None))

    uri = _plot(tasks_with_ap(evaluation), (3.9, 3.0), draw)
    return Picture(uri, "AP at each IoU threshold; the bands are the intervals.")


def plot_by_size(evaluation: Evaluation) -> Picture:
    """Plot AP by object size as bars with intervals, one plot per task of instances."""

    def draw(axes: "Axes", task: str) -> None:
        _bars(axes, evaluation, task, _SIZES)
        axes.set(title=TASK_TITLES[task], ylabel="AP", ylim=(0, None))

    # Large objects have the highest bars.
    uri = _plot(tasks_with_ap(evaluation), (3.9, 2.8), draw, loc="upper left")
    return Picture(uri, "Small is below 32 x 32 pixels, large is above 96 x 96.")


def plot_classes(evaluation: Evaluation, task: str, prefix: str, title: str) -> list[Picture]:
    """Plot the score of each class as horizontal bars, the largest gain on top.

    The gain is that of the last model over the first one; of one model, it is the score. Classes in
    which all models score 0, and those in the middle of too many, are left out and counted in the
    caption. Classes without a value are counted nowhere. There is no plot if the task has no
    metrics with the prefix, such as "AP-".
    """
    models = evaluation.models
    metrics = [metric for metric in models[0].scores[task] if metric.startswith(prefix)]
    if not metrics:
        return []
    found = {metric: [model.scores[task][metric].value for model in models] for metric in metrics}
    values = {m: [v for v in of if v is not None] for m, of in found.items() if None not in of}
    shown = [metric for metric, of in values.items() if any(of)]
    num_zero = len(values) - len(shown)
    shown.sort(key=lambda m: values[m][-1] - (values[m][0] if len(models) > 1 else 0))
    num_middle = max(0, len(shown) - _MOST_CLASSES)
    if num_middle:
        shown = shown[: _MOST_CLASSES // 2] + shown[-(_MOST_CLASSES // 2) :]

    def draw(axes: "Axes", title: str) -> None:
        _bars(axes, evaluation, task, {m: m.removeprefix(prefix) for m in shown}, horizontal=True)
        axes.set(title=title, xlim=(0, None))

    size = (7.5, 0.9 + len(shown) * (0.12 + 0.13 * len(models)))
    legend = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": len(models)}
    gains = f"class in which {models[-1].name} gains most"
    caption = (
        f"The {gains if len(models) > 1 else 'best class'} on top; the lines are the intervals."
    )
    if num_zero:
        caption += f" Classes in which every score is 0 are left out ({num_zero})."
    if num_middle:
        caption += f" Classes in the middle are left out ({num_middle})."
    return [Picture(_plot([title], size, draw, **legend), caption)]


def plot_reliability(evaluation: Evaluation) -> Picture:
    """Plot how many predictions were right over their score, one plot per IoU."""
    ious = list(evaluation.models[0].reliability[0].precision)

    def draw(axes: "Axes", iou: str) -> None:
        axes.plot([0, 1], [0, 1], color="#a1a1aa", linewidth=1, linestyle="--")
        for number, model in enumerate(evaluation.models):
            shares = [(r.mean_score, r.precision[iou]) for r in model.reliability]
            known = np.array([pair for pair in shares if None not in pair], float).reshape(-1, 2)
            color = model_color(number)
            axes.plot(*known.T, marker="o", markersize=4, color=color, label=model.name)
        axes.set(title=f"right at IoU {iou}", xlabel="score", xlim=(0, 1), ylim=(0, 1))
        axes.set_ylabel("share of right predictions" if iou == ious[0] else "")

    return Picture(
        _plot(ious, (3.3, 3.0), draw),
        "All classes together, in ten ranges of the score; right means matched with an object of "
        "its class, at most once.",
    )


def plot_curves(curves: Curves) -> Picture:
    """Plot training losses, one plot per loss."""

    def draw(axes: "Axes", name: str) -> None:
        for number, (run, losses) in enumerate(curves.items()):
            points = np.array(losses.get(name, ()), dtype=float).reshape(-1, 2)
            axes.plot(*points.T, linewidth=1, color=model_color(number), label=run)
        axes.set(title=name, xlabel="iteration")

    names = dict.fromkeys(name for losses in curves.values() for name in losses)
    return Picture(_plot(names, (3.0, 2.6), draw), "Training losses over iterations.")


def _plot(
    panels: Iterable[str],
    size: tuple[float, float],
    draw: "Callable[[Axes, str], None]",
    **legend: Any,
) -> str:
    """Draw plots of ``size`` inches side by side, the legend in the first; return a data URI."""
    from matplotlib.figure import Figure

    names = list(panels)
    figure = Figure(figsize=(size[0] * len(names), size[1]), layout="constrained")
    all_axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(all_axes, names, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.25)
        draw(axes, name)
    all_axes[0].legend(fontsize=8, **legend)
    return _svg(figure)


def _bars(
    axes: "Axes",
    evaluation: Evaluation,
    task: str,
    names: Mapping[str, str],
    *,
    horizontal: bool = False,
) -> None:
    """Draw groups of bars: a group per metric (metric -> its name), a bar per model."""
    places, thickness = np.arange(len(names)), 0.8 / len(evaluation.models)
    draw = axes.barh if horizontal else axes.bar
    for number, model in enumerate(evaluation.models):
        shift = (number - (len(evaluation.models) - 1) / 2) * thickness
        values, low, high = _columns(model.scores[task][metric] for metric in names)
        error = np.nan_to_num(np.stack([values - low, high - values])).clip(0)
        draw(
            places + (-shift if horizontal else shift),  # the first model on top
            np.nan_to_num(values),
            thickness,
            color=model_color(number),
            label=model.name,
            error_kw={"elinewidth": 0.8, "ecolor": "#3f3f46"},
            **{"xerr" if horizontal else "yerr": error},
        )
    if horizontal:
        axes.set_yticks(places, list(names.values()))
        axes.set_ylim(-0.6, len(names) - 0.4)
    else:
        axes.set_xticks(places, list(names.values()))


def _columns(scores: Iterable[Score]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values and ends of the intervals; the value where there is no interval."""
    rows = [(score.value, score.low, score.high) for score in scores]
    values, low, high = np.array(rows, dtype=float).reshape(-1, 3).T  # None becomes NaN
    return values, np.where(np.isnan(low), values, low), np.where(np.isnan(high), values, high)


def _svg(figure: "Figure") -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "report", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")
