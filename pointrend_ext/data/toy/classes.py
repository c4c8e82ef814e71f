"""The toy classes and how they map to COCO and panoptic ids."""

TOY_THING_CLASSES: tuple[str, ...] = ("star", "gear", "blob", "ring", "letter", "plate")
"""Names by contiguous thing id 0..5."""

TYPICAL_HUES: dict[str, float] = dict(
    zip(TOY_THING_CLASSES, (0.15, 0.0, 0.46, 0.90, 0.76, 0.06), strict=True)
)
"""Hue in [0, 1) that a class tends to have, as things in the world do: a network trained from
random weights for minutes then learns to find objects early and has time left for outlines."""

TOY_STUFF_CLASSES: tuple[str, ...] = ("sky", "grass", "water", "sand")
"""Names by contiguous stuff id 0..3."""

TOY_SEM_SEG_CLASSES: tuple[str, ...] = TOY_STUFF_CLASSES + TOY_THING_CLASSES
"""Names by label of the ``sem_seg_*`` maps: stuff first, then things."""

IGNORE_LABEL = 255
"""Label of unannotated pixels in every 8-bit label map."""

THING_IDS: dict[str, int] = dict(zip(TOY_THING_CLASSES, (1, 2, 5, 7, 9, 12), strict=True))
"""COCO category ids; with gaps, as in COCO."""

STUFF_IDS: dict[str, int] = dict(zip(TOY_STUFF_CLASSES, (21, 22, 25, 29), strict=True))
"""Panoptic category ids of the stuff classes."""

THING_COLORS: tuple[tuple[int, int, int], ...] = (
    (230, 25, 75),
    (60, 100, 220),
    (245, 130, 48),
    (145, 30, 180),
    (0, 150, 130),
    (200, 160, 0),
)
STUFF_COLORS: tuple[tuple[int, int, int], ...] = (
    (150, 200, 240),
    (90, 170, 70),
    (30, 90, 160),
    (220, 200, 140),
)
