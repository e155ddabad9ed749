"""How long it takes to open and to close a window, in seconds: two lists. Usage: edges.py SYSFS TIMES"""

import json
import sys
import time
from pathlib import Path

import joulemark as jm
from joulemark.sensors.discovery import Places

PAUSE_S = 2e-3

meter = jm.Meter(["nvml", "rapl"], places=Places(sysfs=Path(sys.argv[1])))
with meter.measure():
    time.sleep(1.0)
opens_s, closes_s = [], []
for _ in range(int(sys.argv[2])):
    window = meter.measure()
    began_s = time.perf_counter()
    window.start()
    opened_s = time.perf_counter()
    window.stop()
    closes_s.append(time.perf_counter() - opened_s)
    opens_s.append(opened_s - began_s)
    time.sleep(PAUSE_S)
print(json.dumps({"domains": [d.name for d in meter.domains], "open_s": opens_s, "close_s": closes_s}))
