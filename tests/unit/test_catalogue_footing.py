"""One footing: energy is kept when boundaries change, and what is not known is refused or widens the interval."""

from __future__ import annotations

import math
from statistics import median

import pytest

from joulemark.boundary import Component
from joulemark.catalogue import (
    CannotConvert,
    Claim,
    Known,
    effects,
    known_of,
    load_catalogue,
    own_figures,
    pairs,
    pue_of,
    read_boundary,
    spread,
    to_boundary,
)
from joulemark.catalogue.expectation import BOUNDARY_ROOM, FOOTING
from joulemark.errors import UsageError
from tests.conftest import MakeRun

SHIPPED = load_catalogue()
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"


def claim_of(origin: str, model: str = SDXL) -> Claim:
    return next(c for c in SHIPPED.claims if c.origin.id == origin and c.model == model and c.family == "J")


def wh(claim: Claim, boundary: str, known: Known | None = None) -> float:
    return to_boundary(claim, read_boundary(boundary), known).value / 3600


def test_sdxl_of_the_study_on_every_footing() -> None:
    claim = claim_of("power_hungry")
    assert wh(claim, "node-all") == pytest.approx(11.293, abs=0.001)
    assert wh(claim, "gpu-all") == pytest.approx(6.856, abs=0.001)
    assert 2.79 < wh(claim, "gpu-active") < 3.222, "at most what the lowest reading of an idle GPU leaves"
    assert wh(claim, "gpu-active,net") < wh(claim, "gpu-active")


def test_what_an_idle_device_draws_is_not_known_exactly_and_widens_the_interval() -> None:
    claim = claim_of("power_hungry")
    all_of_them, working = (to_boundary(claim, read_boundary(b)) for b in ("gpu-all", "gpu-active"))
    assert working.standard_uncertainty / working.value > 2 * all_of_them.standard_uncertainty / all_of_them.value
    # Seven GPUs at the least and the most that one draws at rest.
    seconds = 33.751
    ends = [6.85637 - 7 * power * seconds / 3600 for power in (62, 55.4)]
    assert working.low / 3600 < ends[0] < ends[1] < working.high / 3600


def test_the_own_boundary_changes_nothing() -> None:
    for claim in SHIPPED.claims:
        if claim.family == "J" and claim.covers is not None:
            same = to_boundary(claim, claim.covers)
            assert same.value == pytest.approx(claim.figure.value, rel=1e-3), claim.id
            assert same.high == pytest.approx(claim.figure.high, rel=0.02)


def test_less_is_counted_the_narrower_the_boundary() -> None:
    for claim in SHIPPED.claims:
        if claim.origin.id == "power_hungry":
            ladder = [wh(claim, b) for b in ("node+facility-all", "node-all", "gpu-all", "gpu-active")]
            assert ladder == sorted(ladder, reverse=True), claim.id
            assert ladder[-1] > 0


def test_what_is_left_of_nothing_is_no_figure() -> None:
    # One model kept its GPU so little busy that by the known power at rest nothing is left: no zero, and nothing below.
    refused = []
    for claim in SHIPPED.claims:
        if claim.origin.id == "power_hungry":
            try:
                assert 0 < wh(claim, "gpu-active,net") < wh(claim, "gpu-active")
            except CannotConvert as error:
                refused.append(error.needed)
    assert refused == ["surer parts: by those that are known, nothing is left"]


def test_a_facility_is_added_by_pue_and_by_a_wide_range_without_one() -> None:
    claim = claim_of("power_hungry")
    at = to_boundary(claim, read_boundary("node+facility-all"), known_of(claim, pue_of(1.2)))
    assert at.value == pytest.approx(1.2 * claim.figure.value)
    guessed = to_boundary(claim, read_boundary("node+facility-all"))
    assert guessed.high / guessed.low > at.high / at.low
    assert "published PUE" in {s.name for s in guessed.sources}
    assert Component.FACILITY in guessed.boundary.components


def test_pue_goes_off_as_it_came_on() -> None:
    claim = claim_of("epoch", "GPT-4o")
    machine = to_boundary(claim, read_boundary("machine-active"))
    assert machine.value == pytest.approx(claim.figure.value / 1.2)


def test_geminis_breakdown() -> None:
    claim = claim_of("gemini", "Gemini Apps")
    assert wh(claim, "gpu-active") == pytest.approx(0.14)
    assert wh(claim, "node-all") == pytest.approx(0.22)
    assert wh(claim, "node-active") == pytest.approx(0.20)


@pytest.mark.parametrize(
    ("origin", "model", "boundary", "needed"),
    [
        ("ai_energy_score_v1", SDXL, "node-all", "the energy of cpu"),
        ("ai_energy_score_v1", SDXL, "gpu-all", "how many accelerators stood by"),
        ("ai_energy_score_v1", SDXL, "gpu-active,net", "at rest"),
        ("power_hungry", SDXL, "node,net", "cpu, dram takes at rest"),
        ("power_hungry", SDXL, "node-all,embodied", "making of the hardware"),
        ("openai", "ChatGPT", "gpu-active", "what was counted"),
        ("epoch", "GPT-4o", "gpu-active", "told apart"),
    ],
)
def test_what_nothing_supports_is_refused_and_said(origin: str, model: str, boundary: str, needed: str) -> None:
    with pytest.raises(CannotConvert, match=needed):
        wh(claim_of(origin, model), boundary)


def test_carbon_is_no_energy() -> None:
    carbon = next(c for c in SHIPPED.claims if c.origin.id == "mistral" and c.task == "chat")
    with pytest.raises(CannotConvert, match="grid"):
        to_boundary(carbon, read_boundary("gpu"))


def test_a_pue_below_one_is_none() -> None:
    with pytest.raises(UsageError, match="below 1"):
        pue_of(0.8)


def test_errors_that_figures_share_cancel_in_a_pair() -> None:
    pair = next(p for p in pairs(SHIPPED.select(model=SDXL).claims, "batch"))
    more = pair.more.figure
    assert pair.ratio.high / pair.ratio.low < 1.001 < more.high / more.low


def test_two_kinds_of_gpu_do_not_err_together() -> None:
    pair = next(p for p in pairs(SHIPPED.select(model=SDXL).claims, "hardware"))
    assert pair.ratio.high / pair.ratio.low > 1.1


def test_the_room_for_a_boundary_is_what_the_study_shows() -> None:
    ratios = [c.figure.value / to_boundary(c, FOOTING).value for c in SHIPPED.claims if c.origin.id == "power_hungry"]
    assert median(ratios) == pytest.approx(BOUNDARY_ROOM, abs=0.1)


def test_pairs_differ_in_one_stated_setting_of_one_source() -> None:
    found = pairs(SHIPPED.claims)
    assert len(found) > 100
    for pair in found:
        other = {k for k in pair.more.settings if pair.more.settings[k] != pair.less.settings[k]}
        assert other == {pair.setting}
        assert all(pair.change)
        assert pair.more.origin == pair.less.origin
        assert pair.ratio.value >= 1


def test_batching_and_newer_hardware_save_energy() -> None:
    found = {(e.task, e.setting, e.before, e.after): e for e in effects(SHIPPED.claims)}
    batch = found["image-generation", "batch", "1", "16"]
    assert batch.low <= batch.factor <= batch.high
    assert batch.factor > 1.2
    assert found["image-generation", "hardware", "A100-SXM4-40GB", "H100-SXM-80GB"].n > 20
    with pytest.raises(UsageError, match="known: hardware"):
        pairs(SHIPPED.claims, "colour")


def test_the_spread_of_sdxl_is_taken_apart() -> None:
    found = spread(SHIPPED.select(model=SDXL).claims)
    assert found is not None
    assert found.factor == pytest.approx(55, abs=0.5)
    assert math.prod(s.factor.value for s in found.steps) == pytest.approx(found.factor, rel=1e-3)
    kinds = ("boundary", "settings", "left")
    assert math.fsum(found.share(kind) for kind in kinds) == pytest.approx(1)
    assert found.part("boundary") == pytest.approx(3.76, abs=0.03)
    assert found.part("settings") == pytest.approx(2.99, abs=0.05), "steps by law, hardware and batch by pairs"
    assert found.part("left") == pytest.approx(4.9, abs=0.1), "precision, and all else that two studies differ by"


def test_a_spread_over_tasks_is_none() -> None:
    with pytest.raises(UsageError, match="one task"):
        spread(SHIPPED.claims)
    assert spread([claim_of("openai", "ChatGPT")]) is None


def test_a_spread_with_an_unknown_boundary_is_left_whole() -> None:
    found = spread(SHIPPED.select(model="ChatGPT").claims)
    assert found is not None
    assert found.share("left") == pytest.approx(1)


def test_ones_own_runs_are_converted_by_their_own_parts(make_run: MakeRun) -> None:
    (mine,) = own_figures([make_run()])
    assert mine.figure.boundary.components == {Component.CPU, Component.DRAM}
    cpu = to_boundary(mine.figure, read_boundary("cpu-all"), mine.known)
    assert cpu.value == pytest.approx(mine.figure.value * 2 / 3, rel=1e-6)
    # One joule in one second at rest, 1.5 s for five answers: 0.3 J an answer for each of the two.
    net = to_boundary(mine.figure, read_boundary("cpu+dram,net"), mine.known)
    assert net.value == pytest.approx(mine.figure.value - 0.6, rel=1e-6)
    with pytest.raises(CannotConvert, match="gpu"):
        to_boundary(mine.figure, read_boundary("gpu"), mine.known)


def test_a_run_that_failed_stays_unavailable(make_run: MakeRun) -> None:
    (mine,) = own_figures([make_run(failure="it broke")])
    assert not mine.figure.available
    assert not mine.known.components
