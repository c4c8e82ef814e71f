"""Detectron2's records of a checked file in LVIS's format."""

from collections.abc import Iterable, Mapping
from typing import Any

from pointrend_ext.data.coco.file import CocoFile
from pointrend_ext.data.coco.records import to_records

_LISTS = ("not_exhaustive_category_ids", "neg_category_ids")


def lvis_class_ids(ids: Iterable[Any]) -> dict[Any, int]:
    """Return the numbers of classes by LVIS's own ids, which count from 1: Detectron2's rule."""
    return {own: own - 1 for own in ids if isinstance(own, int)}


def to_lvis_records(
    file: CocoFile, image_root: str, contiguous_ids: Mapping[Any, int] | None
) -> list[dict[str, Any]]:
    """Return the records of a file, sorted by image id.

    Those of a file without findings equal those of Detectron2's ``load_lvis_json``: the end of
    ``coco_url`` names the picture below ``image_root``, where an image has that.

    Args:
        file: the annotations.
        image_root: the folder that holds "train2017" and "val2017".
        contiguous_ids: by category id; None for ``lvis_class_ids``.

    Raises:
        ValueError: a category has no contiguous id, or an image neither address nor file name.
    """
    stated = (
        lvis_class_ids(file.summary.contiguous_ids) if contiguous_ids is None else contiguous_ids
    )
    unknown = [repr(i) for i in file.summary.contiguous_ids if i not in stated]
    if unknown:
        raise ValueError(
            f"Annotation file {file.summary.path!r}: the category id {unknown[0]} is none of "
            "those that the data set is registered with. Correct it or the registration."
        )
    records = to_records(file, image_root, contiguous_ids=stated, name_of=_name_of)
    lists = {image["id"]: {key: image.get(key, []) for key in _LISTS} for image in file.images}
    return [{**record, **lists[record["image_id"]]} for record in records]


def _name_of(image: Mapping[str, Any]) -> Any:
    url = image.get("coco_url")
    return "/".join(str(url).split("/")[-2:]) if url else image.get("file_name")
