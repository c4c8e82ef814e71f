"""What an evaluation of saved predictions computes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationOptions:
    """What is computed.

    Attributes:
        metrics: names of metrics; None for all that are possible.
        ap_star_file: annotations in LVIS's format, for AP*; "" for none.
        num_draws: how often the images are drawn for the intervals; 0 for no intervals.
        seed: of the draws.
        level: share of the draws inside an interval.
        max_detections: how many predictions count, of an image and class by COCO's rules (100 by
            default), of an image by LVIS's (300); AP* takes LVIS's 300 where that is more.
    """

    metrics: tuple[str, ...] | None = None
    ap_star_file: str = ""
    num_draws: int = 300
    seed: int = 0
    level: float = 0.95
    max_detections: int | None = None

    def refuse_of_instances(self, name: str, what: str) -> None:
        """Raise ValueError where an option of instances is given; ``name`` of the data set."""
        for option, value in (
            ("--ap-star-file", self.ap_star_file),
            ("--max-detections", self.max_detections),
        ):
            if value:
                raise ValueError(
                    f"{option} is {value!r}, but {name!r} has {what}: it is for instances."
                )

    def __post_init__(self) -> None:
        """Refuse fewer than 0 draws, a level outside 0..1, or that no prediction counts."""
        if self.num_draws < 0 or not 0 < self.level < 1:
            raise ValueError(
                f"The number of draws is {self.num_draws} and the level {self.level}: draws are 0 "
                "(no intervals) or more, and the level lies between 0 and 1."
            )
        if self.max_detections is not None and self.max_detections < 1:
            raise ValueError(
                f"--max-detections is {self.max_detections}, but at least 1 prediction of an image "
                "has to count."
            )
