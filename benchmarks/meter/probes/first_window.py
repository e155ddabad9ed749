"""How long it takes until the first window of a process is open, in seconds, and until its energy is known.

Usage: first_window.py [SYSFS]: `Meter` over that tree; without it `joulemark.measure`, over this machine.
"""

import json
import sys
import time
from pathlib import Path

began_s = time.perf_counter()
import joulemark as jm  # noqa: E402 - what is timed

imported_s = time.perf_counter()
if len(sys.argv) > 1:
    from joulemark.sensors.discovery import Places

    window = jm.Meter(places=Places(sysfs=Path(sys.argv[1]))).measure().start()
else:
    window = jm.measure().start()
opened_s = time.perf_counter()
window.stop()
closed_s = time.perf_counter()
text = str(window)
print(
    json.dumps(
        {
            "import_s": imported_s - began_s,
            "open_s": opened_s - began_s,
            "close_s": closed_s - opened_s,
            "energy_s": time.perf_counter() - closed_s,
            "window": text,
        }
    )
)
