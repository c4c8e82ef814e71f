"""What a run wrote to ``metrics.json``: its losses, and what it was evaluated to."""

import json
from pathlib import Path
from typing import Any

LOSSES = (
    "total_loss",
    "loss_mask",
    "loss_mask_point",
    "loss_box_reg",
    "loss_cls",
    "loss_sem_seg",
    "loss_sem_seg_point",
)
_MAX_CURVE_POINTS = 100
_TASKS = ("sem_seg/", "panoptic_seg/")


def read_metrics(output_dir: Path) -> list[dict[str, Any]]:
    """Return the records of a run in a folder, but for those that are half written.

    A full disk cuts a line, on which a training that is resumed goes on.

    Raises:
        FileNotFoundError: no ``metrics.json`` there.
    """
    lines = (output_dir / "metrics.json").read_text().splitlines()
    return [json.loads("{" + line.rpartition("{")[2]) for line in lines if line.endswith("}")]


def last_results(output_dir: Path) -> dict[str, float]:
    """Return the metrics of a run's last evaluation, such as ``segm/AP75``, in per cent.

    Raises:
        FileNotFoundError: no ``metrics.json`` there.
        ValueError: the run was never evaluated.
    """
    for record in reversed(read_metrics(output_dir)):
        results = {n: x for n, x in record.items() if "/AP" in n or n.startswith(_TASKS)}
        if results:
            return results
    raise ValueError(f"{output_dir / 'metrics.json'} holds no evaluation.")


def loss_curves(output_dir: Path) -> dict[str, list[list[float]]]:
    """Return ``{loss: [[iteration, value], ...]}``, thinned to 100 points.

    A resumed run may have logged an iteration twice; the later record counts.
    """
    records = {r["iteration"]: r for r in read_metrics(output_dir) if "total_loss" in r}
    iterations = sorted(records)
    thinned = iterations[:: max(1, -(-len(iterations) // _MAX_CURVE_POINTS))]
    curves = {
        name: [[i, round(records[i][name], 4)] for i in thinned if name in records[i]]
        for name in LOSSES
    }
    return {name: curve for name, curve in curves.items() if curve}
