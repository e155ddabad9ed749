"""Sensors: what can be read on this machine, each behind one small protocol; fake and replay are public."""

from joulemark.sensors.discovery import Discovery, Places, discover
from joulemark.sensors.fake import FakeDomain, FakeSensor, Fault
from joulemark.sensors.machine import describe_machine
from joulemark.sensors.replay import ReplaySensor
from joulemark.sensors.seam import Domain, Sensor

__all__ = [
    "Discovery",
    "Domain",
    "FakeDomain",
    "FakeSensor",
    "Fault",
    "Places",
    "ReplaySensor",
    "Sensor",
    "describe_machine",
    "discover",
]
