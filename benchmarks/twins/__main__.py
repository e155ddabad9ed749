"""``python -m benchmarks.twins``: see `benchmarks.twins.run`."""

from benchmarks.twins.run import main

main()
