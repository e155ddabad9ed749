"""Write the hashes of the files that ship inside Joulemark into models.toml, once they are final.

python training/pin_models.py
"""

from __future__ import annotations

from joulemark.workloads import weights
from joulemark.workloads.models import MODELS_FILE, models


def main() -> None:
    """Replace the pin of each own file by the hash that it has now."""
    text = MODELS_FILE.read_text(encoding="utf-8")
    own = {file for model in models().values() for file in model.files.values() if isinstance(file, weights.OwnFile)}
    for file in sorted(own, key=lambda file: file.path):
        found = weights.sha256_of(MODELS_FILE.parent / file.path)
        pin = 'path = "{}"\nsha256 = "{}"'
        text = text.replace(pin.format(file.path, file.sha256), pin.format(file.path, found))
        print(found, file.path)
    MODELS_FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
