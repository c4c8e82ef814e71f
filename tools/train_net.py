#!/usr/bin/env python3
"""`pointrend train`: train or evaluate a model."""

import sys

from pointrend_ext._command import run_tool
from pointrend_ext.commands.train import build_parser, run


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), run)


if __name__ == "__main__":
    sys.exit(main())
