"""What a semantic model puts out: as a label map, and as entries of a results file."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.data import Metadata

from pointrend_ext.modeling.sem_seg import label_map


def named_labels(metadata: Metadata) -> tuple[list[str], dict[int, int]]:
    """Return the names of the labels 0, 1, ..., and the labels by category id of a results file.

    A data set of one name in ``stuff_classes`` is binary: "background" and that name.

    Raises:
        ValueError: there are no ``stuff_classes``.
    """
    names = list(metadata.get("stuff_classes", None) or ())
    if not names:
        raise ValueError(
            f"The data set {metadata.get('name', '')!r} names no classes of label maps, so that "
            "predictions cannot be scored. Add classes to its description, or register it with "
            "MetadataCatalog.get(name).set(stuff_classes=[...])."
        )
    if len(names) == 1:
        return ["background", *names], {0: 0, 1: 1}
    same = {label: label for label in range(len(names))}
    return names, dict(metadata.get("stuff_dataset_id_to_contiguous_id", {})) or same


def predicted_labels(output: Mapping[str, Any], num_classes: int) -> np.ndarray:
    """Return the label map of one model output.

    Args:
        output: its ``"sem_seg"`` is logits (C, H, W), or logits (1, H, W) of a binary model, whose
            foreground is where they are positive, or a label map (H, W) of integers.
        num_classes: C; 2, background and foreground, for a binary model.

    Returns:
        (H, W) integers.

    Raises:
        ValueError: No ``"sem_seg"``, or another shape or type.
    """
    values = torch.as_tensor(output.get("sem_seg", ()))
    is_integer = not (values.is_floating_point() or values.is_complex())
    if values.dim() == 2 and is_integer:
        return values.to(torch.int64 if values.dtype == torch.bool else values.dtype).cpu().numpy()
    if values.dim() == 3 and (len(values) == num_classes or (len(values), num_classes) == (1, 2)):
        return label_map(values[None])[0].cpu().numpy()
    raise ValueError(
        f"the model puts out {sorted(output)}, 'sem_seg' being {tuple(values.shape)} of "
        f"{values.dtype}; the {num_classes} classes of the data set need 'sem_seg' logits "
        f"({num_classes}, H, W){' or (1, H, W)' if num_classes == 2 else ''}, or a label map "
        "(H, W) of integers. Set MODEL.SEM_SEG_HEAD.NUM_CLASSES to the classes of the data set."
    )


def result_entries(
    file_name: str, labels: np.ndarray, category_ids: Mapping[int, int]
) -> Iterator[dict[str, Any]]:
    """Encode a label map (H, W) as Detectron2 does in ``sem_seg_predictions.json``.

    Yields:
        For each label ``{"file_name", "category_id", "segmentation"}``, the last a compressed
        run-length mask; a label without id in ``category_ids`` is written as it is.
    """
    in_columns = np.asfortranarray(labels)  # the order of COCO's masks
    for label in np.unique(labels).tolist():
        rle = mask_util.encode((in_columns == label).view(np.uint8))
        yield {
            "file_name": file_name,
            "category_id": category_ids.get(label, label),
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
        }
