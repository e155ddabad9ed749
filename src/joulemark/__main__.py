"""``python -m joulemark``."""

from joulemark.cli import main

main()
