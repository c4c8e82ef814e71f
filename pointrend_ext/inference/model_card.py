"""The page of a model on the Hugging Face Hub: what it is, its scores, how to use it."""

import math
import re
from collections.abc import Mapping

import yaml
from detectron2.config import CfgNode

from pointrend_ext.engine.classes import Classes

_USE = """## Use

```python
from pointrend_ext import Predictor

predictor = Predictor.from_pretrained("{name}")  # this folder, or owner/name on the Hub
prediction = predictor("photo.jpg")
picture = prediction.draw()  # (height, width, 3) uint8, RGB
```
"""


def model_card(
    name: str,
    cfg: CfgNode,
    classes: Classes,
    scores: Mapping[str, Mapping[str, float]] | None = None,
    data_set: str = "",
) -> str:
    """Return README.md, with the header that the Hub reads.

    Args:
        name: of the model.
        cfg: its configuration.
        classes: what its classes are called.
        scores: {task: {metric: per cent}}, as an evaluation returns them; None where the model was
            not evaluated.
        data_set: what it was evaluated on.
    """
    kind = cfg.MODEL.META_ARCHITECTURE
    header = {
        "library_name": "pointrend_ext",
        "pipeline_tag": "image-segmentation",
        "tags": ["pointrend", "detectron2", kind],
    }
    measured = _measured(scores or {})
    if measured:
        of = data_set or "not stated"
        result = {
            "task": {"type": "image-segmentation"},
            "dataset": {"name": of, "type": of},
            "metrics": [{"type": metric, "value": value} for metric, value in measured.items()],
        }
        header["model-index"] = [{"name": name, "results": [result]}]
    size = f"{cfg.INPUT.MIN_SIZE_TEST} pixels, at most {cfg.INPUT.MAX_SIZE_TEST} on the longer one"
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        f"{kind}, made with [PointRend](https://arxiv.org/abs/1912.08193) for Detectron2. Images "
        f"are resized to a shorter side of {size}.",
        _USE.format(name=name).rstrip(),
        "## Scores",
        _table(measured, data_set) if measured else "Not measured.",
        *(
            f"## {title}\n\n{', '.join(names)}"
            for title, names in (("Objects", classes.things), ("Labels", classes.stuff))
            if names
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return finite scores by task and metric; those of single classes ("AP-cat") are left out."""
    return {
        f"{task} {metric}": round(float(value), 3)
        for task, metrics in scores.items()
        for metric, value in metrics.items()
        if re.fullmatch(r"[^-]+(\d-\d+)?", metric) and math.isfinite(value)  # "AP85-95" is one
    }


def _table(measured: Mapping[str, float], data_set: str) -> str:
    rows = [f"| {metric} | {value:.2f} |" for metric, value in measured.items()]
    of = f" on {data_set}" if data_set else ""
    return "\n".join([f"In per cent{of}.", "", "| metric | score |", "| --- | --- |", *rows])
