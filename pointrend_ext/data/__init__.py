"""Data: loading with checks, mappers, augmentation, described and toy data sets.

Importing this package registers no data set of ours and opens no file.
"""

from pointrend_ext.data.checks import (
    check_datasets,
    check_images,
    check_num_classes,
    class_names_of,
)
from pointrend_ext.data.color_augmentation import ColorJitter, SSDColorAugmentation
from pointrend_ext.data.descriptions import register_description, register_semantic_folder
from pointrend_ext.data.drops import DropCounter
from pointrend_ext.data.label_checks import check_label_maps, fit_ignore_value
from pointrend_ext.data.loading import (
    build_test_loader,
    build_train_loader,
    build_validation_loader,
    load_dataset_dicts,
)
from pointrend_ext.data.mapper import PointRendDatasetMapper, build_mapper
from pointrend_ext.data.ordered_loader import OrderedLoader
from pointrend_ext.data.registration import register_datasets
from pointrend_ext.data.seeding import seed_process, seeded
from pointrend_ext.data.semantic_augmentation import build_semantic_augmentation
from pointrend_ext.data.workers import LoadingError

__all__ = [
    "ColorJitter",
    "DropCounter",
    "LoadingError",
    "OrderedLoader",
    "PointRendDatasetMapper",
    "SSDColorAugmentation",
    "build_mapper",
    "build_semantic_augmentation",
    "build_test_loader",
    "build_train_loader",
    "build_validation_loader",
    "check_datasets",
    "check_images",
    "check_label_maps",
    "check_num_classes",
    "class_names_of",
    "fit_ignore_value",
    "load_dataset_dicts",
    "register_datasets",
    "register_description",
    "register_semantic_folder",
    "seed_process",
    "seeded",
]
