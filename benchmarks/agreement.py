"""What ``OnnxPredictor`` predicts from an exported file, against ``Predictor`` on equal pictures.

One call compares one file, and puts its row into the table of ``--output``, in the place of the one
of that name.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.report import dumps, machine, markdown_table
from pointrend_ext.deploy.checks import Agreement
from pointrend_ext.deploy.checks.instances import Detections
from pointrend_ext.deploy.runtime import OnnxPredictor
from pointrend_ext.inference import Prediction, Predictor
from pointrend_ext.inference.demo.inputs import find_inputs

__all__ = ["Comparison", "main", "table"]

_TITLES = ("model", "pictures", "detections without a partner", "boxes (px)", "scores")
_MAPS = {
    "masks": "mask pixels that differ",
    "labels": "labels that differ",
    "segments": "pixels of segments that differ",
}


@dataclass
class Comparison:
    """What two predictors have in common, added up over pictures.

    Attributes:
        pictures: their number.
        detections: of instances.
        masks: pixels of the masks of partners.
        labels: pixels of label maps.
        segments: pixels of panoptic maps; they differ where the order of segments does.
    """

    pictures: int = 0
    detections: Detections = field(default_factory=Detections)
    masks: Agreement = field(default_factory=lambda: Agreement(0))
    labels: Agreement = field(default_factory=lambda: Agreement(0))
    segments: Agreement = field(default_factory=lambda: Agreement(0))

    def add(self, ours: Prediction, theirs: Prediction) -> None:
        """Compare the predictions of one picture."""
        self.pictures += 1
        mine, others = ours.objects, theirs.objects
        for a, b in self.detections.add(mine[:3], others[:3]):
            self.masks.add_decisions(mine.masks[a], others.masks[b])
        segments = [x.panoptic.ids if x.panoptic else None for x in (ours, theirs)]
        self._add_maps(self.labels, ours.label_map, theirs.label_map)
        self._add_maps(self.segments, *segments)

    @staticmethod
    def _add_maps(agreement: Agreement, ours: np.ndarray | None, theirs: np.ndarray | None) -> None:
        if (ours is None) != (theirs is None):
            raise ValueError("One of both predicts a map that the other one does not: other files?")
        if ours is not None and theirs is not None:
            agreement.add_decisions(ours, theirs)

    def counts(self) -> dict[str, Any]:
        """Return what the table shows."""
        maps = {name: getattr(self, name) for name in _MAPS}
        return {
            "pictures": self.pictures,
            "detections": asdict(self.detections),
            **{name: [x.changed, x.decisions] for name, x in maps.items()},
        }


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of the rows by their names; what a model has not is left empty."""
    return markdown_table([*_TITLES, *_MAPS.values()], [[k, *_cells(x)] for k, x in rows.items()])


def _cells(row: Mapping[str, Any]) -> list[str]:
    found, objects = [str(row["pictures"]), "", "", ""], row["detections"]
    if objects["number"] or objects["unmatched"]:
        found[1] = f"{objects['unmatched']} of {objects['number']}"
        gaps = (objects["box_px"], objects["score"])
        found[2:] = [f"{gap:.1e}".replace("e-0", "e-") if gap else "0" for gap in gaps]
    for changed, pixels in (row[name] for name in _MAPS):
        found.append(f"{changed} of {pixels / 1e6:.1f} million" if pixels else "")
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Compare, and write ``agreement.json`` and ``agreement.md``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    add = parser.add_argument
    add("--name", required=True, help="of the row")
    add("--model", required=True, metavar="FILE", help="what tools/export_model.py has written")
    add("--config-file", required=True, help="configuration of the model")
    add("--weights", required=True, help="that the file was made of")
    add("--opts", nargs="*", default=[], help="KEY VALUE of the configuration")
    add("--input", nargs="+", required=True, metavar="PICTURE", help="files, folders or patterns")
    add("--number", type=int, default=20, help="pictures, the first ones by name")
    add("--runtime", default="onnx", help="onnx or openvino")
    add("--output", type=Path, required=True, metavar="FOLDER", help="of the table")
    args = parser.parse_args(words)
    options: dict[str, Any] = {"opts": args.opts, "device": "cpu", "confidence": None}
    eager = Predictor.from_config(args.config_file, args.weights, **options)
    exported = OnnxPredictor(args.model, runtime=args.runtime, confidence=None)
    comparison, found = Comparison(), find_inputs(args.input)
    if found.problems:
        parser.error(" ".join(found.problems))
    for file in tqdm(found.inputs[: args.number], disable=None):
        image = np.asarray(eager.read_image(file.path))
        comparison.add(exported(image), eager(image))
    path = args.output / "agreement.json"
    data = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    rows = {**data["rows"], args.name: comparison.counts()}
    args.output.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps({"machine": machine("cpu"), "rows": rows}))
    (args.output / "agreement.md").write_text(table(rows))
    print(table({args.name: rows[args.name]}))


if __name__ == "__main__":
    main()
