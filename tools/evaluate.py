#!/usr/bin/env python3
"""`pointrend score`: score saved predictions of any model, several side by side."""

import sys

from pointrend_ext._command import run_tool
from pointrend_ext.commands.score import build_parser, run


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), run)


if __name__ == "__main__":
    sys.exit(main())
