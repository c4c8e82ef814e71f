"""The report: which sections there are and what is in them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.record import Evaluation
from pointrend_ext.evaluation.offline.tables import TASK_TITLES, score_rows
from pointrend_ext.evaluation.report import plots
from pointrend_ext.evaluation.report.label_gallery import label_pictures
from pointrend_ext.evaluation.report.object_gallery import object_pictures
from pointrend_ext.evaluation.report.pictures import Picture, jpeg_uri
from pointrend_ext.evaluation.report.point_cells import PointsByModel

Sections = dict[str, list[Picture]]
"""Pictures by the title of their section; the template knows what else to say there."""


def write_report(
    evaluation: Evaluation,
    path: Path,
    *,
    data: SemanticData | None = None,
    curves: plots.Curves | None = None,
    points: PointsByModel | None = None,
    num_pictures: int = 16,
) -> None:
    """Write one HTML file that needs no other file and no network.

    Args:
        evaluation: every number comes from it. For the pictures the files it names are read, by the
            same paths.
        path: the new file.
        data: the data set, needed for pictures of label maps.
        curves: losses by run, loss -> [[iteration, value], ...].
        points: where models refined the objects of the gallery, from ``inspection.report_points``.
        num_pictures: how many examples are drawn; 0 for none.

    Raises:
        FileNotFoundError: A file that the evaluation names is not there.
    """
    import jinja2  # of the extra [report], with matplotlib

    drawn: Iterable[tuple[str, np.ndarray]] = ()
    if evaluation.data_set.kind == "instances":
        sections = _instance_plots(evaluation)
        drawn = object_pictures(evaluation, num_pictures, points)
    elif evaluation.data_set.kind == "panoptic":
        sections = {
            "Classes": [
                picture
                for prefix in ("PQ", "BoundaryPQ")
                for picture in plots.plot_classes(
                    evaluation, "panoptic_seg", f"{prefix}-", f"{prefix} by class"
                )
            ]
        }
    else:
        area = plots.plot_classes(evaluation, "sem_seg", "IoU-", "IoU by class")
        outline = plots.plot_classes(evaluation, "sem_seg", "BoundaryIoU-", "Boundary IoU by class")
        sections = {"Classes": area + outline}
        if data is not None:
            drawn = label_pictures(evaluation, data, num_pictures)
    pictures = [Picture(jpeg_uri(picture), caption) for caption, picture in drawn]
    sections["Where they differ"] = pictures
    sections["Training"] = [plots.plot_curves(curves)] if curves else []
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pointrend_ext.evaluation.report"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        sections={title: pictures for title, pictures in sections.items() if pictures},
        has_points=bool(points),
        task_titles=TASK_TITLES,
        score_rows=score_rows,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _instance_plots(evaluation: Evaluation) -> Sections:
    first = evaluation.models[0]
    tasks = plots.tasks_with_ap(evaluation)
    if not tasks:
        return {}
    task = "segm" if "segm" in tasks else tasks[0]
    return {
        "AP over the IoU threshold": [plots.plot_over_iou(evaluation)],
        "AP by object size": [plots.plot_by_size(evaluation)],
        "Classes": plots.plot_classes(evaluation, task, "AP-", f"{TASK_TITLES[task]} by class"),
        "Reliability of the scores of masks": (
            [plots.plot_reliability(evaluation)] if first.reliability else []
        ),
    }
