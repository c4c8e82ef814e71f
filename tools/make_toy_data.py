"""Generate the toy data set: python tools/make_toy_data.py --root datasets."""

from __future__ import annotations

import argparse
import logging
import os

from pointrend_ext.data.toy import ToySpec, generate_toy_data


def main() -> None:
    """Parse the arguments and generate."""
    default = ToySpec()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--root",
        default=os.environ.get("DETECTRON2_DATASETS", "datasets"),
        help="Detectron2's data root ($DETECTRON2_DATASETS); the data go to ROOT/toy",
    )
    parser.add_argument("--num-train", type=int, default=default.num_train, help="training images")
    parser.add_argument("--num-val", type=int, default=default.num_val, help="validation images")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of the data set")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    path = generate_toy_data(
        args.root, num_train=args.num_train, num_val=args.num_val, seed=args.seed
    )
    print(f"Toy data written to {path}")


if __name__ == "__main__":
    main()
