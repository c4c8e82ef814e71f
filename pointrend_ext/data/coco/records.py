"""Detectron2's records: those of a checked file, and the check of those that others made."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from detectron2.structures import BoxMode

from pointrend_ext.data.coco import causes
from pointrend_ext.data.coco.annotation import check_annotation, listed_twice
from pointrend_ext.data.coco.entries import in_order
from pointrend_ext.data.coco.file import CocoFile, without_garbage_collection
from pointrend_ext.data.coco.layout import check_layout
from pointrend_ext.data.findings import Cause, Findings

_COPIED = ("iscrowd", "bbox", "category_id", "keypoints", "point_coords", "point_labels")


def _file_name(image: Mapping[str, Any]) -> Any:
    return image.get("file_name")


def to_records(
    file: CocoFile,
    image_root: str,
    *,
    contiguous_ids: Mapping[Any, int] | None = None,
    name_of: Callable[[Mapping[str, Any]], Any] = _file_name,
) -> list[dict[str, Any]]:
    """Return the records of a file, sorted by image id.

    Those of a file without findings equal those of Detectron2's ``load_coco_json``. Boxes and masks
    are those of the file, not copied.

    Args:
        file: the annotations.
        image_root: the folder of the pictures.
        contiguous_ids: by category id; None for the order of these.
        name_of: tells the name of a picture below the folder.

    Raises:
        ValueError: an image has no name.
    """
    names = [name_of(image) for image in file.images]
    without = next((i for i, name in zip(file.images, names, strict=True) if not name), None)
    if without is not None:
        raise ValueError(
            f"Annotation file {file.summary.path!r}: image {without['id']!r} has no 'file_name': "
            "add it."
        )
    paths = picture_paths(image_root, names)
    of_id = {image["id"]: path for image, path in zip(file.images, paths, strict=True)}
    with without_garbage_collection():
        of_image = _annotations_by_image(file, contiguous_ids or file.summary.contiguous_ids)
        return [
            {
                "file_name": of_id[image["id"]],
                "height": image["height"],
                "width": image["width"],
                "image_id": image["id"],
                "annotations": of_image[image["id"]],
            }
            for image in in_order(file.images)
        ]


def _annotations_by_image(
    file: CocoFile, contiguous_ids: Mapping[Any, int]
) -> dict[Any, list[dict[str, Any]]]:
    of_image: dict[Any, list[dict[str, Any]]] = {image_id: [] for image_id in file.sizes_hw}
    for annotation in file.annotations or ():
        record = {key: annotation[key] for key in _COPIED if key in annotation}
        if segmentation := annotation.get("segmentation"):
            record["segmentation"] = segmentation
        if annotation.get("keypoints"):
            record["keypoints"] = [
                # COCO's key points are indices of pixels, of which Detectron2 takes the centres.
                value if index % 3 == 2 else value + 0.5
                for index, value in enumerate(annotation["keypoints"])
            ]
        record["category_id"] = contiguous_ids[annotation["category_id"]]
        record["bbox_mode"] = BoxMode.XYWH_ABS
        of_image[annotation["image_id"]].append(record)
    return of_image


def picture_paths(image_root: str, file_names: Sequence[str]) -> list[str]:
    r"""Return where pictures lie; ``a\b.jpg`` of Windows is ``a/b.jpg`` where that exists.

    An annotation file may come from a stranger: its names must stay below the folder. Where they
    are meant to lead anywhere, the folder is "/", or "" in a registration in Python.

    Raises:
        ValueError: names lead out of the folder.
    """
    paths = [_joined(image_root, name) for name in file_names]
    root = os.path.join(os.path.abspath(image_root), "")
    stray = [
        name
        for name, path in zip(file_names, paths, strict=True)
        if (".." in name or os.path.isabs(name)) and not os.path.abspath(path).startswith(root)
    ]
    if stray and image_root:
        raise ValueError(
            f"{len(stray)} of {len(paths)} file names of the annotations lead out of the image "
            f"folder {image_root!r}, such as {stray[0]!r:.200}. Write them relative to it, without "
            "'..'; or, if you trust the file, state a folder that holds them all, such as /."
        )
    return paths


def picture_path(image_root: str, file_name: str) -> str:
    """Return where one picture lies: see ``picture_paths``."""
    return picture_paths(image_root, [file_name])[0]


def _joined(image_root: str, file_name: str) -> str:
    path = os.path.join(image_root, file_name)
    if "\\" in file_name and not os.path.exists(path):
        return os.path.join(image_root, file_name.replace("\\", "/"))
    return path


def check_records(records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Findings]:
    """Check the annotations of records that a function of somebody else's returned.

    Records without a size are passed over: the mapper sees their picture, and checks them.

    Returns:
        New records without the annotations that are left out, and what was found.

    Raises:
        ValueError: an annotation cannot be read for certain, or the boxes of many have another
            layout than stated.
    """
    findings = Findings(sum(len(record.get("annotations", ())) for record in records))
    checked, suspects, sizes_hw = [], [], {}
    for number, record in enumerate(records):
        if not record.get("annotations") or not {"height", "width"} <= record.keys():
            checked.append(record)
            continue
        size_hw = sizes_hw[number] = record["height"], record["width"]
        kept, cleans = [], []
        for index, annotation in enumerate(record["annotations"]):
            place = f"annotation {index} of {record.get('file_name')!r}"
            found: list[Cause] = []
            try:
                clean = check_record_annotation(annotation, size_hw, found.append)
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f"has an annotation that cannot be used: {place} {error}"
                ) from error
            for cause in found:
                findings.add(cause, place)
            if causes.UNLIKE_MASK in found and annotation["bbox_mode"] == BoxMode.XYWH_ABS:
                shown = {"id": index, "image_id": number, "bbox": _plain(annotation["bbox"])}
                suspects.append({**shown, "segmentation": _plain(annotation["segmentation"])})
            if clean is not None:
                kept.append(annotation if not found else clean)
                cleans.append(clean)
        for position in listed_twice(cleans):
            place = f"annotation {position} of {record.get('file_name')!r}"
            findings.add(causes.TWICE, place)
        checked.append({**record, "annotations": kept})
    try:
        check_layout(suspects, sizes_hw, findings)
    except ValueError as error:
        raise ValueError(f"has boxes of another layout: {error}") from error
    return checked, findings


def check_record_annotation(
    annotation: dict[str, Any], size_hw: tuple[int, int], found: Callable[[Cause], None]
) -> dict[str, Any] | None:
    """Return a checked copy of an annotation of a record, None where it is to be left out.

    Raises:
        ValueError: it cannot be read for certain: "has ...".
    """
    if "bbox_mode" not in annotation:
        raise ValueError("has no 'bbox_mode', such as BoxMode.XYXY_ABS: add it")
    mode = annotation["bbox_mode"]
    if mode not in (BoxMode.XYXY_ABS, BoxMode.XYWH_ABS):
        raise ValueError(
            f"has bbox_mode {mode!r}, which is neither XYXY_ABS nor XYWH_ABS: convert the boxes"
        )
    clean = {**annotation, "bbox": _plain(annotation.get("bbox"))}
    for key in ("segmentation", "point_coords", "point_labels"):
        if key in clean:
            clean[key] = _plain(clean[key])
    is_kept = check_annotation(clean, size_hw, found, corners=mode == BoxMode.XYXY_ABS)
    return clean if is_kept else None


def _plain(value: Any) -> Any:
    """Return arrays, NumPy's numbers and tuples as JSON would have them; lists as they are."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, tuple) or (
        isinstance(value, list) and any(hasattr(x, "tolist") or isinstance(x, tuple) for x in value)
    ):
        return [_plain(part) for part in value]
    return value
