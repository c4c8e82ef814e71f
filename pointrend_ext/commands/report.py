"""Write an evaluation (evaluation.json) as one HTML page that can be opened and sent anywhere."""

import argparse
from pathlib import Path

from pointrend_ext._command import at_least, new_parser
from pointrend_ext.data.coco.entries import repeated
from pointrend_ext.data.registration import register_datasets
from pointrend_ext.engine.command_line import named_path
from pointrend_ext.engine.metrics_file import loss_curves
from pointrend_ext.evaluation.offline import (
    Evaluation,
    SemanticData,
    find_data_set,
    read_evaluation,
)
from pointrend_ext.evaluation.report import RefinedPoints, shown_objects, write_report
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.report_points import record_shown_points

EXAMPLE = (
    "--evaluation out/evaluation.json --run ours=output/ours "
    "--model ours=my.yaml,output/ours/model_final.pth --output out/report.html"
)


def parse_model(word: str) -> tuple[str, str, str]:
    """Split NAME=CONFIG,WEIGHTS."""
    name, equals, files = word.partition("=")
    config, comma, weights = files.rpartition(",")
    if not (equals and comma and config and weights):
        raise argparse.ArgumentTypeError(f"{word!r} is not of the form NAME=CONFIG,WEIGHTS")
    return name, config, weights


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, EXAMPLE)
    add = parser.add_argument
    add("--evaluation", type=Path, required=True, help="evaluation.json of `pointrend score`")
    add("--output", type=Path, required=True, help="the new HTML file")
    add(
        "--run",
        type=named_path,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="OUTPUT_DIR of a training, for its losses; repeat for every run",
    )
    add(
        "--model",
        type=parse_model,
        action="append",
        default=[],
        metavar="NAME=CONFIG,WEIGHTS",
        help="run a model of the evaluation again on the images of the examples, to show the "
        "points that it refines; repeat for every model",
    )
    add("--device", help="for --model: such as cpu or cuda:1 (default: a GPU if there is one)")
    add("--pictures", type=at_least(0), default=16, help="examples shown; 0 for none (%(default)s)")
    add("--description", action="append", default=[], help="a data set description (YAML or JSON)")
    return parser


def points_of_models(
    evaluation: Evaluation, args: argparse.Namespace
) -> dict[str, dict[int | str, RefinedPoints] | None]:
    """Run the models of --model on the images of the examples."""
    known = [model.name for model in evaluation.models]
    points = {}
    for name, config, weights in args.model:
        if name not in known:
            raise ValueError(f"--model {name}: the evaluation has the models {known}.")
        if evaluation.data_set.kind != "instances":
            raise ValueError(
                f"--model {name}: points are shown for instances alone. For a label map, use "
                "tools/visualize_points.py --semantic."
            )
        predictor = Predictor.from_config(config, weights, device=args.device, confidence=None)
        objects = shown_objects(evaluation, args.pictures)
        points[name] = record_shown_points(predictor, name, objects, evaluation.data_set.classes)
    return points


def run(args: argparse.Namespace) -> None:
    """Write the report."""
    for option, given in (("--run", args.run), ("--model", args.model)):
        names = [name for name, *_ in given]
        if len({*names}) < len(names):
            raise ValueError(f"{option} has two called {repeated(names)!r}: name them apart.")
    evaluation = read_evaluation(args.evaluation)
    described = evaluation.data_set
    register_datasets([described.name], args.description)
    data = find_data_set(described.name) if described.kind == "semantic" else None
    write_report(
        evaluation,
        args.output,
        data=data if isinstance(data, SemanticData) else None,
        curves={name: loss_curves(folder) for name, folder in args.run},
        points=points_of_models(evaluation, args),
        num_pictures=args.pictures,
    )
    print(f"Written to {args.output}")
