"""Published figures on one footing, the check of a claim against them, and what is published of models at all.

Every figure ships as text that a person can review in a diff, with its source, licence, boundary and place. See
docs/catalogue.md for how to correct and to extend it.
"""

from joulemark.catalogue.check import Judgement, Reading, Slip, Verdict, check
from joulemark.catalogue.claims import Catalogue, Claim, Origin, load_catalogue, read_claims
from joulemark.catalogue.footing import CannotConvert, Known, known_of, pue_of, to_boundary
from joulemark.catalogue.openness import Fact, Sheet, sheet, sheets
from joulemark.catalogue.own import OwnFigure, own_figures
from joulemark.catalogue.settings import Effect, Pair, Spread, Step, effects, pairs, spread
from joulemark.catalogue.words import read_boundary, write_boundary

__all__ = [
    "CannotConvert",
    "Catalogue",
    "Claim",
    "Effect",
    "Fact",
    "Judgement",
    "Known",
    "Origin",
    "OwnFigure",
    "Pair",
    "Reading",
    "Sheet",
    "Slip",
    "Spread",
    "Step",
    "Verdict",
    "check",
    "effects",
    "known_of",
    "load_catalogue",
    "own_figures",
    "pairs",
    "pue_of",
    "read_boundary",
    "read_claims",
    "sheet",
    "sheets",
    "spread",
    "to_boundary",
    "write_boundary",
]
