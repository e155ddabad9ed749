"""What energy means outside: grams of carbon dioxide equivalent, and things people know.

Carbon is a transform of energy figures and never stored instead of them: a run can be priced again with
another grid, another year or another edition. Everything here is a pure function. What a data centre spends
on its own cooling and distribution (PUE) is not in it.
"""

from joulemark.footprint.carbon import Footprint, of
from joulemark.footprint.equivalents import PETROL_CAR, SMARTPHONE_CHARGE, Equivalent, car_distance, charges
from joulemark.footprint.grid import Place, Spread, grids, intensity, place, spread_over_grids

__all__ = [
    "PETROL_CAR",
    "SMARTPHONE_CHARGE",
    "Equivalent",
    "Footprint",
    "Place",
    "Spread",
    "car_distance",
    "charges",
    "grids",
    "intensity",
    "of",
    "place",
    "spread_over_grids",
]
