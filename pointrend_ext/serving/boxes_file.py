"""Boxes of one picture from an uploaded file of COCO results."""

import re
from pathlib import Path
from typing import Any

from pointrend_ext.data.findings import first_of
from pointrend_ext.data.strict_json import read_typed_json
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.results_file import check_results
from pointrend_ext.inference.given_boxes import GivenBoxes
from pointrend_ext.structures.classes import Classes


def read_boxes(path: str, picture: str, size_hw: tuple[int, ...], classes: Classes) -> GivenBoxes:
    """Read the boxes of a picture; masks are passed over.

    Args:
        path: a list of ``{"image_id", "category_id", "score", "bbox"}`` in JSON, of this picture
            alone, or of several; then its own are those whose ``image_id`` is the number at the end
            of its name, as COCO's files are called.
        picture: the name of its file.
        size_hw: of the picture.
        classes: of the model, whose data set's ids ``category_id`` must be; where these are not
            known, the model chooses the classes.

    Raises:
        ValueError: not such a file, no box of this picture, or ids that the model does not know.
    """
    name = Path(path).name
    results = read_typed_json(path, list[dict[str, Any]], "Boxes")
    image_id = _image_id(results, picture, name)
    own = [x for x in results if x.get("image_id") == image_id]
    names = dict(zip(classes.thing_ids, classes.things, strict=False))
    if not names:  # of no use to the model, whatever they are
        own = [{**x, "category_id": 0} for x in own]
    truth = CocoTruth(
        {
            "images": [{"id": image_id, "height": size_hw[0], "width": size_hw[1]}],
            "categories": [{"id": key, "name": value} for key, value in (names or {0: ""}).items()],
        },
        "the data set of the model",
    )
    return GivenBoxes.of_results(check_results(own, truth, name, ["bbox"]), names)


def _image_id(results: list[dict[str, Any]], picture: str, name: str) -> int | str:
    """Return the id under which a file knows the picture."""
    found = (x.get("image_id") for x in results)
    known = list(dict.fromkeys(x for x in found if isinstance(x, (int, str))))
    if not known:
        raise ValueError(f"{name} holds no box with the image_id of a picture.")
    number = re.search(r"(\d+)$", Path(picture).stem)
    own = [x for x in known if number and str(x) == str(int(number[1]))]
    if len(known) > 1 and not own:
        raise ValueError(
            f"{name} has boxes of {len(known)} images ({first_of(known)}), and none of these ids "
            f"is the number at the end of {picture!r}: upload the boxes of this picture alone."
        )
    return (own or known)[0]
