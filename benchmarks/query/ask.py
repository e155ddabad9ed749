"""Asks one question as ``joulemark query --csv`` does, and says how much memory that took: ``QUESTION FOLDER``."""

from __future__ import annotations

import json
import os
import resource
import sys

from typer.testing import CliRunner

from joulemark.cli import app


def main() -> None:
    """Ask, and write the size of the answer and the largest resident set to standard error."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    done = CliRunner().invoke(app, ["query", sys.argv[1], "--in", sys.argv[2], "--csv"], catch_exceptions=False)
    # Those who helped to read the records count as well.
    own, helpers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    said = {
        "peak_mb": (own.ru_maxrss + helpers.ru_maxrss * len(os.sched_getaffinity(0))) * 1024 / 1e6,
        "cpu_s": own.ru_utime + own.ru_stime + helpers.ru_utime + helpers.ru_stime,
        "lines": done.stdout.count("\n"),
    }
    print(json.dumps(said), file=sys.stderr)
    sys.exit(done.exit_code)


if __name__ == "__main__":
    main()
