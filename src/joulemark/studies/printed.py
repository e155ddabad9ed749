"""Printed numbers: what their digits say, and whether a computed value agrees with them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation

from joulemark.errors import BadQuantity

__all__ = ["DIFFERENT", "SAME", "WITHIN", "Printed"]

SAME = "same"
WITHIN = "within one unit"
DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as it is printed, such as ``2.907``, ``1,594`` or ``7.3e-5``.

    Attributes:
        text: as printed.
        number: its value.
        step: one unit of its last digit.
    """

    text: str
    number: Decimal
    step: Decimal

    @classmethod
    def read(cls, text: str, step: float = 0.0) -> Printed:
        """Read it; commas group thousands.

        Args:
            text: as printed.
            step: one unit of its last digit where that is not the last one that is printed: 10 for a round 100.

        Raises:
            BadQuantity: if it is no number.
        """
        try:
            number = Decimal(text.replace(",", ""))
        except InvalidOperation:
            number = Decimal("NaN")
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int):
            raise BadQuantity(f"The printed figure {text!r} is no number.")
        return cls(text, number, Decimal(str(step)) if step else Decimal(1).scaleb(exponent))

    @property
    def value(self) -> float:
        """As a float."""
        return float(self.number)

    @property
    def low(self) -> float:
        """The least value that rounds to it."""
        return float(self.number - self.step / 2)

    @property
    def high(self) -> float:
        """The greatest value that rounds to it."""
        return float(self.number + self.step / 2)

    def rounds_from(self, value: float) -> bool:
        """Whether `value`, rounded to as many digits, prints so."""
        return self._to_step(value, ROUND_HALF_UP) == self.number

    def cut_from(self, value: float) -> bool:
        """Whether `value`, cut off after as many digits, prints so."""
        return self._to_step(value, ROUND_DOWN) == self.number

    def _to_step(self, value: float, rounding: str) -> Decimal:
        return (Decimal(value) / self.step).to_integral_value(rounding) * self.step

    @property
    def digits(self) -> int:
        """How many significant digits it has."""
        return len(str(int(abs(self.number) / self.step)))

    def prints(self, value: float) -> bool:
        """Whether `value` prints so, rounded or cut off."""
        return self.rounds_from(value) or self.cut_from(value)

    def verdict(self, value: float) -> str:
        """Compare: ``same`` to the last digit, ``within one unit`` of it, or ``different``."""
        if self.rounds_from(value):
            return SAME
        return WITHIN if abs(Decimal(value) - self.number) <= self.step else DIFFERENT

    def show(self, value: float) -> str:
        """Write a computed value with two digits more than the printed one."""
        exponent = self.step.adjusted()
        if self.number and self.number.adjusted() < -3:
            return f"{value:.{self.number.adjusted() - exponent + 2}e}"
        return f"{value:,.{max(0, 2 - exponent) if exponent <= 0 else 0}f}"
