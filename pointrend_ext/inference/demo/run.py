"""Going through pictures and videos; one that is broken does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from pointrend_ext.inference.demo.inputs import Input
from pointrend_ext.inference.demo.outputs import OutputWriter
from pointrend_ext.inference.demo.same_objects import ObjectColors
from pointrend_ext.inference.demo.video import VideoSink, VideoSource
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.visualization import read_image_rgb, titled_columns, write_image

__all__ = ["DemoOptions", "DemoReport", "run_demo"]

logger = logging.getLogger(__name__)

_FAILURES = (ValueError, OSError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class DemoOptions:
    """What to do with every image.

    Attributes:
        predictors: models by title; two or more are drawn side by side, and what is written beside
            overlays comes from the first.
        writer: what is written, and where.
        classes: names or ids of the classes to keep; None for all.
        color_by_class: one colour per class of instances instead of one per instance.
        show_boxes: whether boxes of instances are drawn.
        max_frames: of a video or camera; None for all.
        progress: whether a bar is shown.
    """

    predictors: dict[str, Predictor]
    writer: OutputWriter
    classes: Sequence[str] | None = None
    color_by_class: bool = False
    show_boxes: bool = False
    max_frames: int | None = None
    progress: bool = True


@dataclass
class DemoReport:
    """What came of it.

    Attributes:
        num_images: pictures that are done.
        num_frames: frames of videos that are done.
        failures: one message per input that failed.
    """

    num_images: int = 0
    num_frames: int = 0
    failures: list[str] = field(default_factory=list)


def run_demo(
    inputs: Sequence[Input], options: DemoOptions, camera: int | None = None
) -> DemoReport:
    """Run models on pictures, videos and a camera, and write the results.

    Args:
        inputs: pictures and videos.
        options: what to do with them.
        camera: number of a camera to go on with until it ends, is interrupted, or has given
            ``max_frames``.

    Returns:
        What was done. Inputs that cannot be read or processed are among its failures.

    Raises:
        ValueError: classes to keep that the model does not know.
    """
    for predictor in options.predictors.values():  # fails before the first image, if at all
        check = Prediction(np.zeros((1, 1, 3), np.uint8), "", predictor.classes)
        check.filter(options.classes)
    report = DemoReport()
    try:
        _all_pictures([x for x in inputs if not x.is_video], options, report)
        for source in [*(x for x in inputs if x.is_video), *([] if camera is None else [camera])]:
            try:
                _video(source, options, report)
            except _FAILURES as error:
                what = source.path if isinstance(source, Input) else f"camera {source}"
                _fail(report, what, error)
    finally:
        options.writer.close()
    return report


def _all_pictures(pictures: Sequence[Input], options: DemoOptions, report: DemoReport) -> None:
    size = max(predictor.batch_size for predictor in options.predictors.values())
    bar = tqdm(total=len(pictures), unit="image", disable=not (options.progress and pictures))
    with bar, logging_redirect_tqdm():  # messages do not tear the bar
        for batch in _batches(_readable(pictures, report, bar), size):
            _pictures(batch, options, report, bar)


def _readable(
    pictures: Sequence[Input], report: DemoReport, bar: tqdm
) -> Iterator[tuple[Input, np.ndarray]]:
    for picture in pictures:
        try:
            yield picture, read_image_rgb(picture.path)
        except _FAILURES as error:
            _fail(report, picture.path, error)
            bar.update()


def _batches(
    items: Iterable[tuple[Input, np.ndarray]], size: int
) -> Iterator[list[tuple[Input, np.ndarray]]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _pictures(
    batch: list[tuple[Input, np.ndarray]], options: DemoOptions, report: DemoReport, bar: tqdm
) -> None:
    """Process a batch; one that fails is taken apart to find the picture at fault."""
    try:
        predictions = _predict([pixels for _, pixels in batch], options)
    except _FAILURES as error:
        if len(batch) > 1:
            for item in batch:
                _pictures([item], options, report, bar)
            return
        _fail(report, batch[0][0].path, error)
        bar.update()
        return
    for (picture, _), of_models in zip(batch, predictions, strict=True):
        try:
            _write_picture(picture, of_models, options)
            report.num_images += 1
        except _FAILURES as error:
            _fail(report, picture.path, error)
        bar.update()


def _write_picture(picture: Input, of_models: list[Prediction], options: DemoOptions) -> None:
    writer = options.writer
    if "overlay" in writer.kinds:
        path = writer.overlay_path(picture.name, picture.path)
        write_image(path, _draw(of_models, options, ObjectColors()))
    writer.write(of_models[0], picture.name, picture.path)


def _video(source: Input | int, options: DemoOptions, report: DemoReport) -> None:
    is_file = isinstance(source, Input)
    frames = VideoSource(source.path if is_file else source)
    name = source.name if is_file else Path(f"camera_{source}")
    path = options.writer.folder / name.with_name(f"{name.name}.mp4")
    if is_file and path.exists() and path.samefile(source.path):
        raise ValueError("it would be overwritten: choose another --output.")
    total = min(filter(None, (frames.num_frames, options.max_frames)), default=None)
    colors = ObjectColors()
    size = max(predictor.batch_size for predictor in options.predictors.values())
    pixels = iter(frames)
    done = 0
    with (
        VideoSink(path, frames.fps) as sink,
        tqdm(total=total, unit="frame", desc=name.name, disable=not options.progress) as bar,
    ):
        try:
            while chunk := list(islice(pixels, _left(size, done, options.max_frames))):
                for of_models in _predict(chunk, options):
                    sink.write(_draw(of_models, options, colors))
                    done += 1
                    report.num_frames += 1
                    bar.update()
        except KeyboardInterrupt:
            if is_file:
                raise
            logger.info("Interrupted: %s is completed after %d frames.", path, done)
    if is_file and total and done < total:
        # Frame counts are estimates in some formats, so this is no failure.
        logger.warning("%s: %d of %d stated frames could be read.", source.path, done, total)


def _left(size: int, done: int, limit: int | None) -> int:
    return size if limit is None else max(min(size, limit - done), 0)


def _predict(images: list[np.ndarray], options: DemoOptions) -> list[list[Prediction]]:
    """Return for each image the predictions of all models."""
    by_model = [
        [p.filter(options.classes) for p in predictor(images)]
        for predictor in options.predictors.values()
    ]
    return [list(of_models) for of_models in zip(*by_model, strict=True)]


def _draw(
    of_models: Sequence[Prediction],
    options: DemoOptions,
    colors: Callable[[Prediction], np.ndarray | None],
) -> np.ndarray:
    cells = []
    for prediction in of_models:
        # The same object keeps its colour from one model to the next, too.
        of_objects = None if options.color_by_class else colors(prediction)
        cells.append(
            prediction.draw(
                colors=of_objects,
                color_by_class=options.color_by_class,
                show_boxes=options.show_boxes,
            )
        )
    if len(cells) == 1:
        return cells[0]
    return titled_columns(list(options.predictors), cells, bar_px=None, gap_px=6)


def _fail(report: DemoReport, what: object, error: BaseException) -> None:
    message = str(error)
    if not isinstance(error, (ValueError, OSError)) or not message:
        message = f"{type(error).__name__}: {message}"
    if str(what) not in message:
        message = f"{what}: {message}"
    report.failures.append(message)
    logger.error("FAILED %s", message)
