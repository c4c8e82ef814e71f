"""Going through pictures and videos; one that is broken does not stop the others."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pointrend_ext._command import escaped
from pointrend_ext.checkpoint.full_disk import is_full_disk, naming_full_disk
from pointrend_ext.inference.demo.inputs import Input
from pointrend_ext.inference.demo.outputs import OutputWriter
from pointrend_ext.inference.demo.progress import progress_bar
from pointrend_ext.inference.demo.video import open_camera, open_video, write_video
from pointrend_ext.inference.image_predictor import ImagePredictor
from pointrend_ext.inference.prediction import Prediction, class_filter
from pointrend_ext.visualization.drawing_package import needs_opencv
from pointrend_ext.visualization.io import write_image

if TYPE_CHECKING:
    from pointrend_ext.inference.demo.detections import Detections
    from pointrend_ext.inference.demo.overlays import Overlays
    from pointrend_ext.inference.predictor import Predictor

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
        color_by_class, show_boxes: see ``Prediction.draw``.
        max_frames: of a video or camera; None for all.
        progress: whether a bar is shown.
        detections: boxes that masks are predicted for; None where the models find them.
    """

    predictors: Mapping[str, ImagePredictor]
    writer: OutputWriter
    classes: Sequence[str] | None = None
    color_by_class: bool = False
    show_boxes: bool = False
    max_frames: int | None = None
    progress: bool = True
    detections: "Detections | None" = None

    @property
    def batch_size(self) -> int:
        """Images that are read at a time."""
        return max(predictor.batch_size for predictor in self.predictors.values())


@dataclass
class DemoReport:
    """Pictures and frames of videos that are done, and one message per input that failed."""

    num_images: int = 0
    num_frames: int = 0
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def noting_failure(self, source: Input) -> Iterator[None]:
        """Note what goes wrong with an input, and go on."""
        try:
            yield
        except _FAILURES as error:
            if is_full_disk(error):  # of the other inputs, too
                raise
            message = str(error)
            if not isinstance(error, (ValueError, OSError)) or not message:
                message = f"{type(error).__name__}: {message}"
            if str(source.path) not in message:
                message = f"{source.path}: {message}"
            message = escaped(message)
            self.failures.append(message)
            logger.error("FAILED %s", message)


def run_demo(inputs: Sequence[Input], options: DemoOptions) -> DemoReport:
    """Run models on pictures, then on videos and cameras, and write the results.

    A camera goes on until it ends, is interrupted, or has given ``max_frames``. Inputs that cannot
    be read or processed are among the failures of the report.

    Raises:
        ValueError: classes to keep or of given boxes that the model does not know, or models that
            read files of pictures by different rules.
        OSError: the disk is full; what was complete before stays.
        ImportError: there is to be drawn without OpenCV.
    """
    if "overlay" in options.writer.kinds:
        _overlays(options)
    rules = {predictor.image_rules for predictor in options.predictors.values()}
    if len(rules) > 1:
        raise ValueError(
            "The models differ in INPUT.MAX_MEGAPIXELS or INPUT.WHITE_VALUE, but are shown the "
            "same pictures: set these keys alike in their configurations."
        )
    for predictor in options.predictors.values():
        # These fail before the first image, if at all.
        class_filter(predictor.classes, options.classes)
        if options.detections is not None:
            options.detections.check(cast("Predictor", predictor))
        if predictor.has_instances:
            options.writer.check_classes(predictor.classes)
        else:
            options.writer.check_label_maps()
    report = DemoReport()
    with naming_full_disk(options.writer.folder):
        try:
            _pictures([x for x in inputs if not x.is_video], options, report)
            for source in inputs:
                if source.is_video:
                    with report.noting_failure(source):
                        _video(source, options, report)
        finally:
            options.writer.close()
    return report


def _pictures(pictures: Sequence[Input], options: DemoOptions, report: DemoReport) -> None:
    reader = next(iter(options.predictors.values()))
    shown = options.progress and bool(pictures)
    with progress_bar(len(pictures), "image", shown=shown) as advance:
        for first in range(0, len(pictures), options.batch_size):
            chunk, batch = pictures[first : first + options.batch_size], []
            for picture in chunk:
                with report.noting_failure(picture):
                    batch.append((picture, reader.read_image(picture.path)))
            _batch(batch, options, report)
            advance(len(chunk))


def _batch(
    batch: Sequence[tuple[Input, np.ndarray]], options: DemoOptions, report: DemoReport
) -> None:
    """Process pictures together; where that fails one by one, to find the one at fault."""
    together: Sequence[list[Prediction] | None] = [None] * len(batch)
    if len(batch) > 1:
        try:
            together = _predict([pixels for _, pixels in batch], options, [x for x, _ in batch])
        except _FAILURES as error:
            logger.info("A batch is taken apart: %s", error)
    for (picture, pixels), predicted in zip(batch, together, strict=True):
        with report.noting_failure(picture):
            of_models = predicted or _predict([pixels], options, [picture])[0]
            if "overlay" in options.writer.kinds:
                path = options.writer.overlay_path(picture)
                write_image(path, _overlays(options)(of_models))
            options.writer.write(of_models[0], picture)
            report.num_images += 1


def _video(source: Input, options: DemoOptions, report: DemoReport) -> None:
    if source.camera is None:
        video = open_video(source.path, next(iter(options.predictors.values())).image_rules)
    else:
        video = open_camera(source.camera)
    total = min(filter(None, (video.num_frames, options.max_frames)), default=0)
    bar = progress_bar(total or None, "frame", source.name.name, shown=options.progress)
    frames, before = islice(video.frames, options.max_frames), report.num_frames

    def done(advance: Callable[[int], Any]) -> Iterator[list[Prediction]]:
        while chunk := list(islice(frames, options.batch_size)):
            for of_models in _predict(chunk, options):
                options.writer.write(of_models[0], source.frame(report.num_frames - before))
                yield of_models
                report.num_frames += 1
                advance(1)

    with bar as advance:
        try:
            if "overlay" in options.writer.kinds:
                drawn = map(_overlays(options), done(advance))
                write_video(options.writer.overlay_path(source), video.fps, drawn)
            else:
                for _ in done(advance):
                    pass
        except KeyboardInterrupt:  # how a camera is ended
            if source.camera is None:
                raise
    number = report.num_frames - before
    if video.num_frames and number < total:
        # Frame counts are estimates in some formats, so this is no failure.
        logger.warning("%s: %d of %d stated frames could be read.", source.path, number, total)


def _predict(
    images: list[np.ndarray], options: DemoOptions, pictures: Sequence[Input] = ()
) -> list[list[Prediction]]:
    """Return for each image the predictions of all models; pictures are where images are from."""
    given = None
    if options.detections is not None:
        given = [
            options.detections.of(picture, (pixels.shape[0], pixels.shape[1]))
            for picture, pixels in zip(pictures, images, strict=True)
        ]
    by_model = [
        [p.filter(options.classes) for p in predictor.stream(images, given)]
        for predictor in options.predictors.values()
    ]
    return [list(of_models) for of_models in zip(*by_model, strict=True)]


def _overlays(options: DemoOptions) -> "Overlays":
    with needs_opencv():
        from pointrend_ext.inference.demo.overlays import Overlays
    return Overlays(
        list(options.predictors),
        color_by_class=options.color_by_class,
        show_boxes=options.show_boxes,
    )
