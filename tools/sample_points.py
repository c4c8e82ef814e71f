#!/usr/bin/env python3
"""`pointrend data points`: draw points of objects from their masks, to train on them instead."""

import sys

from pointrend_ext._command import run_tool
from pointrend_ext.commands.data_points import build_parser, run


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), run)


if __name__ == "__main__":
    sys.exit(main())
