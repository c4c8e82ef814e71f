"""Pictures of a recorded refinement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pointrend_ext.inference.prediction import class_filter
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.point_recordings import MapRecording, ObjectRecording, Recording
from pointrend_ext.inspection.point_steps import record_map, record_object
from pointrend_ext.inspection.sample_pictures import seen_image
from pointrend_ext.modeling.sem_seg.label_map import label_map
from pointrend_ext.visualization import (
    Layer,
    StepPicture,
    class_colors,
    draw_training_points,
    label_layer,
    probability_layer,
    subdivision_frames,
    subdivision_strip,
    write_gif,
    write_image,
)

__all__ = ["write_refinement"]

_Pictures = tuple[np.ndarray, list[np.ndarray], np.ndarray]
"""Strip, frames of an animation, training points: (h, w, 3) uint8 RGB each."""

_CELL_PX = 280  # of a picture in the strip, for an object: the mean of its sides,
_LONGEST = 2.0  # of which a side is at most so many times as long
_MAP_CELL_PX = 420  # and for a whole image
_LARGE = 2  # the animation and the training picture are so much larger
_SECONDS = {"start": 1.5, "doubled": 0.7, "points": 1.2, "corrected": 1.2, "last": 3.0}


def write_refinement(
    predictor: Predictor,
    image_rgb: np.ndarray,
    output_dir: Path,
    *,
    semantic: bool = False,
    number: int = 0,
    class_name: str | None = None,
    seed: int = 0,
) -> tuple[list[Path], ObjectRecording | MapRecording]:
    """Record the refinement of an object, or of the whole class map, and draw it.

    Args:
        predictor: a PointRend model.
        image_rgb: (H, W, 3) uint8.
        output_dir: ``steps.png``, ``steps.gif`` and ``training_points.png`` go here.
        semantic: the class map of the image instead of an object.
        number: of the object, the best score first.
        class_name: count objects of this class alone: its name or id.
        seed: of the training points.

    Returns:
        The files, and what was recorded.

    Raises:
        ValueError: a model without points, a class that it does not know, or no such object.
    """
    model_input = predictor.model_input(image_rgb)
    seen = seen_image(model_input, predictor.cfg)
    generator = torch.Generator(device=predictor.model.device).manual_seed(seed)
    recording: ObjectRecording | MapRecording
    if semantic:
        recording = record_map(predictor.model, model_input, generator=generator)
        strip, frames, training = _draw_map(seen, recording, predictor.classes.stuff_colors)
    else:
        wanted = class_filter(predictor.classes, None if class_name is None else [class_name])
        recording = record_object(
            predictor.model,
            model_input,
            number,
            keep=lambda c: wanted(predictor.classes.thing(c), c),
            generator=generator,
        )
        strip, frames, training = _draw_object(seen, recording)
    paths = [output_dir / name for name in ("steps.png", "steps.gif", "training_points.png")]
    write_image(paths[0], strip)
    write_gif(paths[1], frames, _durations(len(frames)))
    write_image(paths[2], training)
    return paths, recording


def _draw_object(image_rgb: np.ndarray, recording: ObjectRecording) -> _Pictures:
    """Draw the refinement of a mask inside its box."""
    x0, y0, x1, y1 = recording.box_px.tolist()
    longer, shorter = max(x1 - x0, y1 - y0, 1e-6), max(min(x1 - x0, y1 - y0), 1e-6)
    scale = _CELL_PX * min(1 / (longer * shorter) ** 0.5, _LONGEST / longer)

    def layer(logits: Tensor) -> Layer:
        return probability_layer(logits[0].sigmoid().numpy())

    return _draw(image_rgb, (x0, y0, x1, y1), scale, layer, recording)


def _draw_map(
    image_rgb: np.ndarray, recording: MapRecording, colors: Sequence[Sequence[int]]
) -> _Pictures:
    """Draw the refinement of a class map."""
    height, width = image_rgb.shape[:2]
    recording = _without_padding(recording, (height, width))
    rows, columns = recording.extent_px
    padded = np.pad(image_rgb, ((0, rows - height), (0, columns - width), (0, 0)))
    palette = class_colors(max(len(recording.coarse), 2), colors)

    def layer(logits: Tensor) -> Layer:
        return label_layer(label_map(logits[None])[0].numpy(), palette)

    return _draw(padded, (0, 0, columns, rows), _MAP_CELL_PX / max(rows, columns), layer, recording)


def _without_padding(recording: MapRecording, size_px: tuple[int, int]) -> MapRecording:
    """Cut maps to the whole coarse cells that show a part of the image."""
    old_px = np.array(recording.extent_px)
    stride = old_px[0] // recording.coarse.shape[-2]
    new_px = -(-np.array(size_px) // stride) * stride

    def cut(logits: Tensor) -> Tensor:
        rows, columns = new_px * logits.shape[-2] // old_px[0]
        return logits[:, :rows, :columns]

    scale = torch.tensor((old_px / new_px)[::-1].copy(), dtype=torch.float32)
    coords = recording.training_coords * scale
    inside = (coords <= 1).all(dim=1)
    rows, columns = new_px.tolist()
    return replace(
        recording,
        extent_px=(rows, columns),
        coarse=cut(recording.coarse),
        steps=[
            replace(s, before=cut(s.before), coords=s.coords * scale, after=cut(s.after))
            for s in recording.steps
        ],
        training_coords=coords[inside],
        num_important=int(inside[: recording.num_important].sum()),
    )


def _draw(
    image_rgb: np.ndarray,
    box_px: tuple[float, float, float, float],
    scale: float,
    layer: Callable[[Tensor], Layer],
    recording: Recording,
) -> _Pictures:
    """Draw a recording over its box of the image, enlarged by ``scale``."""
    sides = box_px[2] - box_px[0], box_px[3] - box_px[1]

    def picture(enlargement: int) -> np.ndarray:
        width, height = (max(8, round(enlargement * scale * side)) for side in sides)
        whole = Image.fromarray(image_rgb)
        return np.array(whole.resize((width, height), Image.Resampling.BICUBIC, box_px))

    start = layer(recording.coarse)
    steps = [
        StepPicture(layer(s.before), s.coords.numpy(), s.scores.numpy(), layer(s.after))
        for s in recording.steps
    ]
    coords, important = recording.training_coords.numpy(), recording.num_important
    return (
        subdivision_strip(picture(1), start, steps),
        subdivision_frames(picture(_LARGE), start, steps),
        draw_training_points(picture(_LARGE), coords[:important], coords[important:]),
    )


def _durations(count: int) -> list[float]:
    cycle = [_SECONDS[name] for name in ("doubled", "points", "corrected")]
    durations = [_SECONDS["start"], *(cycle[i % 3] for i in range(count - 1))]
    return [*durations[:-1], _SECONDS["last"]]
