"""What a training on many GPUs needs: reasoned from the model and from rates, not measured.

A ring all-reduce sends, from each process, 2 (n - 1) / n of the gradients' bytes (Patarasuk and
Yuan, 2009); that is what the network card of a machine with several GPUs sends as well, since one
of them passes it on. DDP sends gradients while others are computed: at best all of it beside the
backward pass, at worst all of it after that; both are shown.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields

from detectron2.modeling import build_model

from benchmarks.report import markdown_table
from pointrend_ext.engine import load_cfg

__all__ = ["Rates", "efficiencies", "gradient_bytes", "main", "ring_bytes", "sending_s", "table"]

CONFIG = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml"
GPUS, GBITS = (8, 16, 64), (10.0, 25.0, 100.0)


@dataclass(frozen=True)
class Rates:
    """What is measured or assumed; the defaults are those of docs/distributed.md.

    Attributes:
        images: per GPU and iteration.
        iteration_s, inference_s: that one GPU alone needs for these, and for an image. Detectron2's
            model zoo states them of Mask R-CNN R50-FPN on V100.
        gpus: of a machine.
        loader: images per second of one worker process (docs/benchmarks.md).
        test_images: of an evaluation.
        scoring_s: of the first process, after the last of them (docs/benchmarks/evaluation).
    """

    images: int = 2
    iteration_s: float = 0.261
    inference_s: float = 0.043
    gpus: int = 8
    loader: float = 45.0
    test_images: int = 5000
    scoring_s: float = 9.5


def gradient_bytes(config_file: str) -> int:
    """Return the bytes of what a model trains, in full precision."""
    model = build_model(load_cfg(config_file, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]))
    return sum(p.nbytes for p in model.parameters() if p.requires_grad)


def ring_bytes(gradients: int, processes: int) -> float:
    """Return what each process sends per iteration."""
    return 2 * (processes - 1) / processes * gradients


def sending_s(gradients: int, processes: int, rates: Rates, gbit: float) -> float:
    """Return the seconds of an iteration's sending between machines; within one they are 0."""
    is_one_machine = processes <= rates.gpus
    return 0.0 if is_one_machine else ring_bytes(gradients, processes) / (gbit * 1e9 / 8)


def efficiencies(rates: Rates, sending: float) -> tuple[float, float]:
    """Return the share of a lone GPU's speed, where nothing is sent meanwhile, and at best.

    At best all is sent during the backward pass, two thirds of an iteration.
    """
    longer = max(0.0, sending - 2 / 3 * rates.iteration_s)
    alone = rates.iteration_s
    return alone / (alone + sending), alone / (alone + longer)


def table(gradients: int, rates: Rates, processes: Sequence[int], gbits: Sequence[float]) -> str:
    """Return the tables of the page: what is sent, and what must be read and scored."""
    titles = ["GPUs", "MB sent", *(f"{gbit:g} Gbit/s" for gbit in gbits)]
    rows, others = [], []
    for number in processes:
        row = [str(number), f"{ring_bytes(gradients, number) / 1e6:.0f}"]
        for gbit in gbits:
            seconds = sending_s(gradients, number, rates, gbit)
            low, high = efficiencies(rates, seconds)
            row.append(f"{seconds:.2f} s, {low:.0%} to {high:.0%}")
        rows.append(row)
        images = number * rates.images / rates.iteration_s
        inference = rates.test_images / number * rates.inference_s
        others.append(
            [
                str(number),
                str(number * rates.images),
                f"{images:.0f}",
                f"{images / rates.loader:.0f}",
                f"{inference:.0f} + {rates.scoring_s:.0f}",
            ]
        )
    more = ["GPUs", "images per iteration", "images/s", "workers, all", "s of an evaluation"]
    return f"{markdown_table(titles, rows)}\n{markdown_table(more, others)}"


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables of a model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--config-file", default=CONFIG)
    parser.add_argument("--processes", type=int, nargs="+", default=GPUS, metavar="N")
    parser.add_argument("--gbit", type=float, nargs="+", default=GBITS, metavar="PER_SECOND")
    for field in fields(Rates):
        name, value = f"--{field.name.replace('_', '-')}", field.default
        parser.add_argument(name, type=type(value), default=value, help="%(default)s")
    arguments = parser.parse_args(words)
    rates = Rates(**{field.name: getattr(arguments, field.name) for field in fields(Rates)})
    gradients = gradient_bytes(arguments.config_file)
    print(f"Gradients: {gradients / 1e6:.1f} MB\n")
    print(table(gradients, rates, arguments.processes, arguments.gbit))


if __name__ == "__main__":
    main()
