"""The meter: windows over a machine's domains."""

from joulemark.meter.meter import Meter, Window, default_meter

__all__ = ["Meter", "Window", "default_meter"]
