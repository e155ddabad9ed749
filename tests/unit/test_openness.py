"""Openness: a fact is disclosed with its citation, inferred, or unknown; and the unknown ones cost certainty."""

from __future__ import annotations

import math

import pytest

from joulemark.catalogue import load_catalogue, sheet, sheets
from joulemark.catalogue.openness import FACTS, _disclosed
from joulemark.errors import UnknownName

SHIPPED = load_catalogue()


def test_there_is_a_sheet_for_every_model_and_every_fact_on_it() -> None:
    found = sheets(SHIPPED)
    assert {s.model for s in found} == set(SHIPPED.models)
    for made in found:
        assert tuple(f.name for f in made.facts) == FACTS


def test_what_is_known_says_by_whom_and_where_and_what_is_not_says_what_follows() -> None:
    for made in sheets(SHIPPED):
        for fact in made.facts:
            if fact.status == "unknown":
                assert fact.effect
                assert fact.value == fact.by == ""
            else:
                assert fact.value
                assert fact.by
                assert fact.citation, (made.model, fact.name)


def test_every_disclosed_fact_is_of_a_model_in_the_catalogue() -> None:
    assert {model for model, _ in _disclosed()} <= set(SHIPPED.models)


def test_open_models_come_before_closed_ones() -> None:
    order = [s.model for s in sheets(SHIPPED)]
    assert order.index("bigscience/bloom") < 10
    assert order.index("bigscience/bloom") < order.index("GPT-4o") < order.index("ChatGPT")


def test_bloom_and_gpt_4o() -> None:
    bloom, closed = (sheet(model, SHIPPED) for model in ("bloom", "GPT-4o"))
    assert {"parameters", "training hours", "grid"} <= set(bloom.named("disclosed"))
    assert {"parameters", "training energy"} <= set(closed.named("unknown"))
    assert "active parameters" in closed.named("inferred")


def test_what_is_not_known_stretches_the_interval() -> None:
    bloom, closed = (sheet(model, SHIPPED) for model in ("bloom", "GPT-4o"))
    assert bloom.factor is not None
    assert closed.factor is not None
    assert closed.factor > 5 * bloom.factor
    assert "boundary" in sheet("ChatGPT", SHIPPED).widths or "PUE" in sheet("ChatGPT", SHIPPED).widths
    squares = math.fsum(math.log(w) ** 2 for w in closed.widths.values())
    assert closed.factor == pytest.approx(math.exp(math.sqrt(squares)))


def test_a_tuned_model_inherits_what_is_known_of_its_training() -> None:
    facts = {f.name: f for f in sheet("Meta-Llama-3.1-70B-Instruct", SHIPPED).facts}
    assert "7.0 million GPU hours" in facts["training hours"].value
    assert "of meta-llama/Meta-Llama-3.1-70B" in facts["training hours"].value
    assert facts["grid"].status == "unknown", "where it is served is another matter"


def test_a_model_that_was_never_asked_has_no_carbon_of_a_request() -> None:
    found = sheet("GPT-3", SHIPPED)
    assert found.factor is None
    assert found.task is None


def test_a_model_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UnknownName, match="bloom"):
        sheet("blom", SHIPPED)
