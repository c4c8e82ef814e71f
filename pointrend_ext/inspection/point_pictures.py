"""Pictures of a recorded refinement."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pointrend_ext.inference.prediction import class_filter
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.point_steps import Recording, record_map, record_object
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

_CELL_PX = 280  # of a picture in the strip, for an object: the mean of its sides,
_LONGEST = 2.0  # of which a side is at most so many times as long
_MAP_CELL_PX = 420  # and for a whole image
_LARGE = 2  # the animation and the training picture are so much larger
_FIRST_S, _STEP_S, _LAST_S = 1.5, (0.7, 1.2, 1.2), 3.0  # doubled, points, corrected


def write_refinement(
    predictor: Predictor,
    image_rgb: np.ndarray,
    output_dir: Path,
    *,
    semantic: bool = False,
    number: int = 0,
    class_name: str | None = None,
    seed: int = 0,
) -> tuple[list[Path], Recording]:
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
    layer: Callable[[Tensor], Layer]
    if semantic:
        recording = record_map(predictor.model, model_input, generator=generator)
        shown = _without_padding(recording, *seen.shape[:2])
        _, _, columns, rows = (int(v) for v in shown.box_px)
        seen = np.pad(seen, ((0, rows - len(seen)), (0, columns - seen.shape[1]), (0, 0)))
        colors = class_colors(max(len(recording.coarse), 2), predictor.classes.stuff_colors)
        scale = _MAP_CELL_PX / max(rows, columns)
        layer = partial(_label_layer, colors)
    else:
        wanted = class_filter(predictor.classes, None if class_name is None else [class_name])
        shown = recording = record_object(
            predictor.model,
            model_input,
            number,
            keep=lambda c: wanted(predictor.classes.thing(c), c),
            generator=generator,
        )
        x0, y0, x1, y1 = shown.box_px
        longer, shorter = max(x1 - x0, y1 - y0, 1e-6), max(min(x1 - x0, y1 - y0), 1e-6)
        scale = _CELL_PX * min(1 / (longer * shorter) ** 0.5, _LONGEST / longer)
        layer = _mask_layer
    strip, frames, training = _draw(seen, shown, scale, layer)
    paths = [output_dir / name for name in ("steps.png", "steps.gif", "training_points.png")]
    write_image(paths[0], strip)
    seconds = [_FIRST_S, *_STEP_S * len(shown.steps)]
    write_gif(paths[1], frames, [*seconds[:-1], _LAST_S])
    write_image(paths[2], training)
    return paths, recording


def _mask_layer(logits: Tensor) -> Layer:
    return probability_layer(logits[0].sigmoid().numpy())


def _label_layer(colors: np.ndarray, logits: Tensor) -> Layer:
    return label_layer(label_map(logits[None])[0].numpy(), colors)


def _without_padding(recording: Recording, height: int, width: int) -> Recording:
    """Cut maps to the whole coarse cells that show a part of the image."""
    old_px = np.array(recording.box_px[:1:-1], int)
    stride = old_px[0] // recording.coarse.shape[-2]
    new_px = -(-np.array([height, width]) // stride) * stride

    def cut(logits: Tensor) -> Tensor:
        rows, columns = new_px * logits.shape[-2] // old_px[0]
        return logits[:, :rows, :columns]

    scale = torch.tensor((old_px / new_px)[::-1].copy(), dtype=torch.float32)
    coords = recording.training_coords * scale
    inside = (coords <= 1).all(dim=1)
    rows, columns = new_px.tolist()
    return replace(
        recording,
        box_px=(0, 0, columns, rows),
        coarse=cut(recording.coarse),
        steps=[
            replace(s, before=cut(s.before), coords=s.coords * scale, after=cut(s.after))
            for s in recording.steps
        ],
        training_coords=coords[inside],
        num_important=int(inside[: recording.num_important].sum()),
    )


def _draw(
    image_rgb: np.ndarray, recording: Recording, scale: float, layer: Callable[[Tensor], Layer]
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Draw a recording over its box of the image, enlarged by ``scale``.

    Returns:
        Strip, frames of an animation, training points: (h, w, 3) uint8 RGB each.
    """
    x0, y0, x1, y1 = recording.box_px
    sides = x1 - x0, y1 - y0

    def picture(enlargement: int) -> np.ndarray:
        width, height = (max(8, round(enlargement * scale * side)) for side in sides)
        whole = Image.fromarray(image_rgb)
        return np.array(whole.resize((width, height), Image.Resampling.BICUBIC, recording.box_px))

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
