#!/usr/bin/env python3
"""`pointrend convert`: convert weights of any known format to the model's names."""

import sys

from pointrend_ext._command import run_tool
from pointrend_ext.commands.convert import build_parser, run


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), run)


if __name__ == "__main__":
    sys.exit(main())
