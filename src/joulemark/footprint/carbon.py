"""The footprint of energy: carbon by grid, and what both look like in things people know."""

from __future__ import annotations

from dataclasses import dataclass

from joulemark.figures import Figure, Source
from joulemark.footprint.convert import convert
from joulemark.footprint.equivalents import (
    LATEST,
    PETROL_CAR,
    SMARTPHONE_CHARGE,
    Equivalent,
    car_distance,
    charges,
)
from joulemark.footprint.grid import Place, intensity
from joulemark.footprint.grid import place as find_place

__all__ = ["Footprint", "of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What some energy means outside. All figures cover the boundary of the energy.

    Attributes:
        energy: what went in: J, or J a unit of work.
        carbon: grams of CO2 equivalent (a unit of work) if the electricity is that of `place`.
        charges: smartphone charges of the same energy.
        car_distance: metres by an average petrol car that emits as much.
        place: whose electricity, with the year of its intensity.
        charge_factor: the edition behind `charges`.
        car_factor: the edition behind `car_distance`.
    """

    energy: Figure
    carbon: Figure
    charges: Figure
    car_distance: Figure
    place: Place
    charge_factor: Equivalent
    car_factor: Equivalent

    @property
    def year(self) -> int | None:
        """The year that the grid intensity is of; None for a user's own factor."""
        return self.place.year

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources of all figures, each once."""
        figures = (self.energy, self.carbon, self.charges, self.car_distance)
        return tuple(dict.fromkeys(source for figure in figures for source in figure.sources))


def of(energy: Figure, place: Place | str, *, charge_edition: str = LATEST, car_edition: str = LATEST) -> Footprint:
    """Give the footprint of energy that is taken from the grid of a place.

    carbon = energy x grid intensity. Two models priced in one place share the error of its grid, so that the
    ratio of their carbon is that of their energy, and as sure.

    Args:
        energy: in J, or J a unit of work (``J/image``).
        place: a place, or what `joulemark.footprint.place` understands.
        charge_edition: a key of `SMARTPHONE_CHARGE`.
        car_edition: a key of `PETROL_CAR`.

    Raises:
        UnknownName: if there is no such place or edition.
        BadQuantity: if the place is a factor that cannot be understood.
        UsageError: if the figure is no energy.
    """
    at = find_place(place) if isinstance(place, str) else place
    carbon = convert(energy, intensity(at))
    return Footprint(
        energy=energy,
        carbon=carbon,
        charges=charges(energy, charge_edition),
        car_distance=car_distance(carbon, car_edition),
        place=at,
        charge_factor=SMARTPHONE_CHARGE[charge_edition],
        car_factor=PETROL_CAR[car_edition],
    )
