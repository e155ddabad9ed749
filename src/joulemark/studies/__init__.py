"""Published studies rebuilt from their own data, and audited: one module a study, over one reader.

Each gives one `Reproduction`: what was printed beside what the data give, with a verdict; what the tables lack; which
printed figures are not what they say. Nothing in it is a list of findings: with other data other things come out.
"""

from joulemark.studies.report import Check, Conclusion, Finding, Reproduction, Section, Table

__all__ = ["Check", "Conclusion", "Finding", "Reproduction", "Section", "Table"]
