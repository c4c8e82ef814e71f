"""The report: which sections there are and what is in them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.tables import TASK_TITLES, shown_metrics
from pointrend_ext.evaluation.report import plots
from pointrend_ext.evaluation.report.html import figure, interval, jpeg_uri, page, section, table
from pointrend_ext.evaluation.report.label_gallery import label_pictures
from pointrend_ext.evaluation.report.object_gallery import object_pictures
from pointrend_ext.evaluation.report.point_cells import PointsByModel, points_sentence

__all__ = ["write_report"]

Curves = Mapping[str, Mapping[str, Sequence[Sequence[float]]]]
_COLOR_NOTE = ": the ground truth in white, each model in its colour of the plots."
_POINTS_NOTE = (
    " In the last row, the cells that the point head predicted anew in the same piece, from maps "
    "of which not every cell was; the models were run again for it."
)
_OUTLINE_METRICS = ("bbox", "segm", "boundary", "ap_star")


def write_report(
    evaluation: Mapping[str, Any],
    path: Path,
    *,
    data: SemanticData | None = None,
    curves: Curves | None = None,
    points: PointsByModel | None = None,
    num_pictures: int = 16,
) -> None:
    """Write one HTML file that needs no other file and no network.

    Args:
        evaluation: content of ``evaluation.json``; every number comes from it. For the pictures
            the files it names are read, by the same paths.
        path: the new file.
        data: the data set, needed for pictures of label maps.
        curves: losses by run, loss -> [[iteration, value], ...].
        points: where models refined the objects of the gallery, from ``engine.report_points``.
        num_pictures: how many examples are drawn; 0 for none.

    Raises:
        FileNotFoundError: A file that the evaluation names is not there.
    """
    names = [model["name"] for model in evaluation["models"]]
    parts = [_head(evaluation), _metric_tables(evaluation)]
    if evaluation["data_set"]["kind"] == "instances":
        parts += _instance_plots(evaluation)
    else:
        parts.append(_label_classes(evaluation))
    if num_pictures:
        parts.append(_gallery(evaluation, data, num_pictures, points or {}))
    if curves:
        picture = figure(plots.plot_curves(curves), "Training losses over iterations.")
        parts.append(section("Training", [picture]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(" against ".join(names), parts), encoding="utf-8")


def _head(evaluation: Mapping[str, Any]) -> str:
    names = " against ".join(html.escape(model["name"]) for model in evaluation["models"])
    data, intervals = evaluation["data_set"], evaluation["intervals"]
    text = f"{data['name']}: {data['num_images']} images, {len(data['classes'])} classes."
    if intervals["draws"]:
        text += (
            f" In brackets: {100 * intervals['level']:g} % intervals from {intervals['draws']} "
            "draws of the images with repetition, the same for all models. A difference is "
            "coloured when its interval excludes 0."
        )
    return f'<h1>{names}</h1>\n<p class="note">{html.escape(text)}</p>'


def _metric_tables(evaluation: Mapping[str, Any]) -> str:
    models, differences = evaluation["models"], evaluation["differences"]
    titles = ["", *(m["name"] for m in models)]
    titles += [f"{d['model']} \N{MINUS SIGN} {d['against']}" for d in differences]
    parts = []
    for task, first in models[0]["scores"].items():
        rows = []
        for metric in shown_metrics(first):
            cells = [interval(model["scores"][task][metric]) for model in models]
            cells += [
                interval(d["scores"][task].get(metric), is_difference=True) for d in differences
            ]
            rows.append((metric, cells))
        parts.append(f"<h3>{html.escape(TASK_TITLES[task])}</h3>")
        parts.append(table(titles, rows, f"scores-{task}"))
    return section("Scores", parts)


def _instance_plots(evaluation: Mapping[str, Any]) -> list[str]:
    first = evaluation["models"][0]
    tasks = [task for task in _OUTLINE_METRICS if task in first["scores"]]
    over_iou = plots.plot_over_iou(evaluation, tasks, TASK_TITLES)
    by_size = plots.plot_by_size(evaluation, tasks, TASK_TITLES)
    sections = [
        section(
            "AP over the IoU threshold",
            [figure(over_iou, "AP at each IoU threshold; the bands are the intervals.")],
            "A model with coarse outlines falls early.",
        ),
        section(
            "AP by object size",
            [figure(by_size, "Small is below 32 x 32 pixels, large is above 96 x 96.")],
        ),
    ]
    task = "segm" if "segm" in tasks else "bbox"
    if any(metric.startswith("AP-") for metric in first["scores"][task]):
        title = f"{TASK_TITLES[task]} by class"
        picture = plots.plot_classes(evaluation, task, "AP-", title)
        sections.append(
            section("Classes", [figure(picture, _class_caption(evaluation, task, "AP-"))])
        )
    if first["reliability"]:
        sections.append(
            section(
                "Reliability of the scores of masks",
                [figure(plots.plot_reliability(evaluation), _RELIABILITY_CAPTION)],
                "Of the predictions with a score around x, the share that is right. Points on the "
                "dashed line: the score says how likely a mask is right.",
            )
        )
    return sections


_RELIABILITY_CAPTION = (
    "All classes together, in ten ranges of the score; right means matched with an object of its "
    "class, at most once."
)


def _label_classes(evaluation: Mapping[str, Any]) -> str:
    scores = evaluation["models"][0]["scores"]["sem_seg"]
    pictures = []
    for prefix, title in (("IoU-", "IoU by class"), ("BoundaryIoU-", "Boundary IoU by class")):
        if any(metric.startswith(prefix) for metric in scores):
            uri = plots.plot_classes(evaluation, "sem_seg", prefix, title)
            pictures.append(figure(uri, _class_caption(evaluation, "sem_seg", prefix)))
    return section("Classes", ['<div class="row">', *pictures, "</div>"] if pictures else [])


def _class_caption(evaluation: Mapping[str, Any], task: str, prefix: str) -> str:
    best = "The best class"
    if len(evaluation["models"]) > 1:
        best = f"The class in which {evaluation['models'][-1]['name']} gains most"
    _, (num_zero, num_middle) = plots.shown_classes(evaluation, task, prefix)
    text = f"{best} on top; the lines are the intervals."
    if num_zero:
        text += f" Classes in which every score is 0 are left out ({num_zero})."
    if num_middle:
        text += f" Classes in the middle are left out ({num_middle})."
    return text


def _gallery(
    evaluation: Mapping[str, Any], data: SemanticData | None, count: int, points: PointsByModel
) -> str:
    if evaluation["data_set"]["kind"] == "instances":
        pictures = [
            figure(jpeg_uri(picture), _object_caption(example, points))
            for example, picture in object_pictures(evaluation, count, points)
        ]
        note = (
            "Objects that all models found, the largest difference of Boundary IoU first; then "
            "large objects that not all found. Below each object, a piece of its outline where "
            f"the masks differ most{_COLOR_NOTE}{_POINTS_NOTE if points else ''}"
        )
    else:
        if data is None:
            return ""
        pictures = [
            figure(jpeg_uri(picture), caption)
            for caption, picture in label_pictures(evaluation, data, count)
        ]
        note = (
            "Images in which the models differ most. Below each image, the place where the masks "
            f"of one class differ most{_COLOR_NOTE}"
        )
    return section("Where they differ", pictures, note)


def _object_caption(example: Mapping[str, Any], points: PointsByModel) -> str:
    scores = [
        f"{name} has score {found['score']:.2f}"
        for name, found in example["models"].items()
        if found is not None
    ]
    text = f"{example['class']}, image {example['image_id']}. {', '.join(scores) or 'Not found'}."
    return f"{text} {points_sentence(example, points)}".strip()
