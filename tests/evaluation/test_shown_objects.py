"""The objects of a report are read from whatever the predictions lie in."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from pointrend_ext.evaluation.report.shown_objects import shown_objects


def test_predictions_of_an_interrupted_evaluation_are_drawn(evaluation, tmp_path):
    """Their folder holds a file of lines instead of one list."""
    models = []
    for model in evaluation.models:
        folder = tmp_path / model.name
        folder.mkdir()
        results = json.loads(Path(model.predictions).read_text())
        lines = "".join(f"{json.dumps([result])}\n" for result in results)
        (folder / "coco_instances.00000-of-00001.jsonl").write_text(lines)
        models.append(dataclasses.replace(model, predictions=str(folder)))
    got = [*shown_objects(dataclasses.replace(evaluation, models=tuple(models)), 2)]
    for own, wanted in zip(got, shown_objects(evaluation, 2), strict=True):
        assert any(mask is not None for mask in wanted.masks.values())
        for name, mask in wanted.masks.items():
            np.testing.assert_array_equal(own.masks[name], mask)
