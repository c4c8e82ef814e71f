"""List the configurations with released weights, or say where those of one are to be had."""

import argparse
import json
from typing import Any

from pointrend_ext._command import add_json_argument, new_parser
from pointrend_ext.model_zoo import ReleasedModel, download_address, download_place, released_models


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    example = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml"
    parser = new_parser(__doc__, prog, "", example, "--json")
    parser.add_argument("name", nargs="?", metavar="NAME", help="a configuration, or part of one")
    add_json_argument(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """List, or describe what the name fits."""
    models = released_models()
    if args.name is not None:
        name = args.name.replace("\\", "/").removeprefix("configs/")
        found = {k: m for k, m in models.items() if k == name} or {
            k: m for k, m in models.items() if name.lower() in k.lower()
        }
        if not found:
            raise ValueError(
                f"No weights were released for {args.name!r}. There are some for "
                f"{', '.join(models)}."
            )
        models = found
    if args.json:
        print(json.dumps([as_record(name, model) for name, model in models.items()], indent=1))
    elif args.name is not None and len(models) == 1:
        print(describe(*models.popitem()))
    else:
        width = max(map(len, models))
        print(*(f"{name:<{width}}  {_figures(model)}" for name, model in models.items()), sep="\n")
        print("\nPublished figures, in per cent. `pointrend zoo NAME` says where the weights are.")


def as_record(name: str, model: ReleasedModel) -> dict[str, Any]:
    """Return what JSON holds of a model; ``place`` is where its file is looked for."""
    url = download_address(model.weights)
    place = download_place(url)
    return {
        "config": name,
        "weights": model.weights,
        "url": url,
        "place": str(place),
        "downloaded": place.is_file(),
        "published": model.published,
    }


def describe(name: str, model: ReleasedModel) -> str:
    """Say where the weights are to be had, and how they are used."""
    record = as_record(name, model)
    state = "there" if record["downloaded"] else "not there yet: it is downloaded when it is needed"
    return "\n".join(
        [
            f"{name}: {_figures(model)} (published, in per cent)",
            f"  weights  {record['url']}",
            f"  file     {record['place']} ({state})",
            "Without a network, download the weights elsewhere and put them at that place.",
            f"To use them: pointrend predict --config-file {name} --weights zoo ...",
        ]
    )


def _figures(model: ReleasedModel) -> str:
    return ", ".join(f"{metric} {value}" for metric, value in model.published.items())
