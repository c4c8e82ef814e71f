"""What a semantic model puts out: as a label map, and as a results file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch

from pointrend_ext.modeling.sem_seg import label_map

__all__ = ["ResultsFile", "predicted_labels"]

_LOGGER = logging.getLogger(__name__)


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


class ResultsFile:
    """Predictions as Detectron2 writes them, ``sem_seg_predictions.json``, without holding them.

    A list of ``{"file_name", "category_id", "segmentation"}``, one entry per image and label, the
    segmentation a compressed run-length mask. While images are processed each process writes its
    entries to a part file, in a folder that all processes must see.
    """

    def __init__(self, folder: Path, rank: int, category_ids: Mapping[int, int]) -> None:
        """Name the files; nothing is written.

        Args:
            folder: where they are.
            rank: number of this process.
            category_ids: label -> id in the file; a label without id is written as it is.
        """
        self.folder = folder
        self._category_ids = category_ids
        self._part = self._part_of(rank)

    def start(self) -> None:
        """Begin with an empty part."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._part.write_text("")

    def add(self, file_name: str, labels: np.ndarray) -> None:
        """Write the prediction of one image.

        Args:
            file_name: of the image.
            labels: (H, W) integers.
        """
        in_columns = np.asfortranarray(labels)  # the order of COCO's masks
        with self._part.open("a") as part:
            for label in np.unique(labels).tolist():
                mask = (in_columns == label).view(np.uint8)
                rle = mask_util.encode(mask)
                entry = {
                    "file_name": file_name,
                    "category_id": self._category_ids.get(label, label),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
                }
                part.write(json.dumps(entry) + "\n")

    def finish(self, num_processes: int) -> None:
        """Join the parts of all processes; called by one of them, after the others' last ``add``.

        Args:
            num_processes: how many parts there are.
        """
        separator = "["
        with (self.folder / "sem_seg_predictions.json").open("w") as results:
            for line in self._lines(num_processes):
                results.write(separator + line.rstrip("\n"))
                separator = ", "
            results.write("]" if separator != "[" else "[]")

    def _lines(self, num_processes: int) -> Iterator[str]:
        for rank in range(num_processes):
            part = self._part_of(rank)
            if not part.is_file():
                _LOGGER.warning(
                    "The predictions of process %d are missing in sem_seg_predictions.json: %s "
                    "does not exist. The scores are complete. Use a folder that all machines see.",
                    rank, part,
                )  # fmt: skip
                continue
            with part.open() as lines:
                yield from lines
            part.unlink()

    def _part_of(self, rank: int) -> Path:
        return self.folder / f"sem_seg_predictions.part{rank}"
