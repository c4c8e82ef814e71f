"""What saved predictions are scored against."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from pointrend_ext.data.coco import picture_paths
from pointrend_ext.data.coco_dataset import load_registered
from pointrend_ext.data.label_checks import report_named
from pointrend_ext.data.label_encoding import LabelEncoding
from pointrend_ext.data.panoptic import PanopticFile, image_paths, read_panoptic_file
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.offline.record import DataSetRecord
from pointrend_ext.evaluation.semantic_output import named_labels

_INSTANCE_TYPES = ("coco", "coco_panoptic_seg", "lvis")


@dataclass(frozen=True)
class InstanceData:
    """Annotations of instances.

    Attributes:
        name: of the data set.
        truth: the annotations.
        image_root: folder of the images, None when it is not known; only for pictures.
        has_lvis_rules: whether images list the classes that are annotated there.
    """

    name: str
    truth: CocoTruth
    image_root: str | None
    has_lvis_rules: bool

    @property
    def record(self) -> DataSetRecord:
        """What an evaluation says of it."""
        truth, classes = self.truth, tuple(self.truth.class_names.values())
        return DataSetRecord(self.name, "instances", truth.source, len(truth.sizes_hw), classes)

    def image_files(self) -> dict[int, str]:
        """Return the image files by image id, relative to ``image_root``; LVIS has URLs alone."""
        return {
            image["id"]: image.get("file_name")
            or "/".join(image.get("coco_url", "").split("/")[-2:])
            for image in self.truth.dataset["images"]
        }


@dataclass(frozen=True)
class SemanticData:
    """Label maps.

    Attributes:
        name: of the data set.
        image_files: one per image.
        truth_files: label map of each image.
        class_names: names of the labels 0, 1, ...
        class_colors: RGB of each as the data set states them, or None.
        ignore_label: label of pixels that do not count.
        label_of_category: label by the category id that a results file has.
        image_root, label_root: folders of the images and label maps, or None.
        encoding: what numbers and colours in label maps mean, true and predicted ones.
        notices: what is odd about the true label maps.
    """

    name: str
    image_files: tuple[str, ...]
    truth_files: tuple[str, ...]
    class_names: tuple[str, ...]
    class_colors: Sequence[Sequence[int]] | None
    ignore_label: int
    label_of_category: dict[int, int]
    image_root: str | None
    label_root: str | None
    encoding: LabelEncoding | None = None
    notices: tuple[str, ...] = ()

    @property
    def record(self) -> DataSetRecord:
        """What an evaluation says of it."""
        source, num_images = self.label_root or "", len(self.image_files)
        return DataSetRecord(self.name, "semantic", source, num_images, self.class_names)


@dataclass(frozen=True)
class PanopticData:
    """Panoptic segments.

    Attributes:
        name: of the data set.
        file: the annotations.
        source: path of their file.
        segment_root, image_root: folders of the pictures of segment ids, and of the images.
    """

    name: str
    file: PanopticFile
    source: str
    segment_root: str
    image_root: str

    @property
    def record(self) -> DataSetRecord:
        """What an evaluation says of it."""
        classes = tuple(c.name for c in self.file.categories)
        return DataSetRecord(
            self.name, "panoptic", self.source, len(self.file.annotations), classes
        )

    def files(self) -> list[tuple[str, str]]:
        """Return the file of each image, and the picture of its segments."""
        names = {image.id: image.file_name for image in self.file.images}
        annotations = self.file.annotations
        images = image_paths(self.image_root, [names[a.image_id] for a in annotations])
        segments = picture_paths(self.segment_root, [a.file_name for a in annotations])
        return [*zip(images, segments, strict=True)]


def find_panoptic_data(name: str) -> PanopticData:
    """Look up a registered data set that has panoptic segments.

    Raises:
        ValueError: it has none.
        FileNotFoundError: there is no annotation file.
    """
    metadata = MetadataCatalog.get(name)
    source = metadata.get("panoptic_json", None)
    if source is None:
        raise ValueError(
            f"The data set {name!r} has no panoptic segments. Leave out --panoptic, or name a data "
            "set whose description has `task: panoptic`, such as toy_panoptic_val."
        )
    file = read_panoptic_file(source)
    return PanopticData(name, file, source, metadata.panoptic_root, metadata.image_root)


def find_data_set(name: str) -> InstanceData | SemanticData:
    """Look up a registered data set; of a panoptic one its instances.

    Raises:
        ValueError: It is not registered, or of a kind that cannot be scored from files.
        FileNotFoundError: Its files are not there.
    """
    metadata = MetadataCatalog.get(name)
    kind = metadata.get("evaluator_type", None)
    if kind == "coco_panoptic_seg" and not metadata.get("json_file", None):
        raise ValueError(
            f"The data set {name!r} has panoptic segments and no file of instances. Score panoptic "
            "segmentations with --panoptic."
        )
    if kind in _INSTANCE_TYPES:
        truth = CocoTruth.load(PathManager.get_local_path(metadata.json_file))
        return InstanceData(name, truth, metadata.get("image_root", None), kind == "lvis")
    if kind == "sem_seg":
        return _semantic_data(name)
    known = ", ".join(sorted(n for n in DatasetCatalog.list() if "val" in n)[:40])
    raise ValueError(
        f"{name!r} is not a registered data set that predictions in files are scored against: its "
        f"evaluator_type is {kind!r}, not {', '.join(_INSTANCE_TYPES)} or sem_seg. Give the "
        f"description that names it, or choose from those that are registered: {known}, ..."
    )


def data_set_of_annotations(
    json_file: str | os.PathLike[str], image_root: str | None = None
) -> InstanceData:
    """Take an annotation file as a data set; see ``CocoTruth.load`` for errors.

    Args:
        json_file: in COCO's format, or LVIS's if its images have ``neg_category_ids``.
        image_root: folder of the images, for pictures.
    """
    truth = CocoTruth.load(json_file)
    images = truth.dataset["images"]
    name = os.path.splitext(os.path.basename(truth.source))[0]
    is_lvis = bool(images) and "neg_category_ids" in images[0]
    return InstanceData(name, truth, image_root, is_lvis)


def _semantic_data(name: str) -> SemanticData:
    metadata = MetadataCatalog.get(name)
    names, label_of_category = named_labels(metadata)
    records, _ = load_registered(name)
    report = report_named(name, names, metadata.ignore_label, records)
    if report is not None and report.errors:
        raise ValueError(f"The data set {name!r} {report.errors[0]}")
    return SemanticData(
        name,
        tuple(record["file_name"] for record in records),
        tuple(record["sem_seg_file_name"] for record in records),
        tuple(names),
        metadata.get("stuff_colors", None),
        metadata.ignore_label,
        label_of_category,
        metadata.get("image_root", None),
        metadata.get("sem_seg_root", None),
        metadata.get("label_encoding", None),
        tuple(f"Data set {name!r} {warning}" for warning in report.warnings) if report else (),
    )
