from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from pathlib import Path

import pytest

from joulemark.errors import UsageError
from joulemark.footprint import place
from joulemark.records import Run
from joulemark.reports import compare, from_runs
from joulemark.reports.benchmark import collect
from joulemark.reports.comparison import pair_up
from joulemark.reports.words import evidence_warning, footprint_note, times_text
from tests.conftest import MakeRun


def test_the_cheapest_comes_first_and_ratios_are_surer_than_values(make_run: MakeRun) -> None:
    dear = make_run(model="dear", energies_j=(31.0, 31.2, 30.8, 31.1, 30.9, 31.0))
    cheap = make_run(model="cheap")
    results = collect([dear, cheap])
    assert [e.run.workload.model for e in results.entries] == ["cheap", "dear"]
    entry = results.entries[1]
    assert entry.times_best is not None
    assert entry.times_best.value == pytest.approx(3.1, rel=0.01)
    # Gains of 0.4 cancel, mixes of 0.15 do not: about sqrt(2) 0.15 instead of sqrt(0.4^2 + 0.15^2), by domain.
    ratio_width = math.log(entry.times_best.high / entry.times_best.value)
    assert ratio_width < 0.55 * math.log(entry.energy.high / entry.energy.value)
    assert entry.energy.value == pytest.approx(31 * 1.5 / 5 * 1000, rel=0.01), "per 1,000"


def test_a_failure_is_last_has_no_rank_and_no_zero(make_run: MakeRun) -> None:
    report = from_runs([make_run(model="broken", failure="no answer"), make_run(model="good")])
    good, broken = report.rows
    assert (good.model, good.rank) == ("good", 1)
    assert (broken.model, broken.rank, broken.note, broken.verdict) == ("broken", None, "no answer", "failed")
    assert broken.energy.value is None
    assert broken.carbon_range_g is None
    assert broken.smartphone_charges.value is None


def test_without_a_place_there_is_a_range_and_no_assumption(make_run: MakeRun) -> None:
    report = from_runs([make_run()])
    row = report.rows[0]
    assert report.place is None
    assert row.carbon_g is None
    assert row.carbon_range_g is not None
    assert row.carbon_range_g[1] / row.carbon_range_g[0] > 10, "grids differ by more than ten times"
    assert "No place was given" in footprint_note(collect([make_run()]))


def test_with_a_place_carbon_is_energy_times_its_grid(make_run: MakeRun) -> None:
    row = from_runs([make_run()], place("FRA")).rows[0]
    assert row.carbon_g is not None
    assert row.energy.value is not None
    assert row.carbon_g.value == pytest.approx(row.energy.value * place("FRA").intensity_g_per_j)
    assert row.carbon_range_g is None


def test_a_difference_that_is_none_is_said_to_be_none(make_run: MakeRun) -> None:
    results = collect([make_run(model="a"), make_run(model="b", energies_j=(10.2, 10.0, 10.1, 10.3, 9.9, 10.1))])
    assert "no clear difference" in times_text(results.entries[1].times_best, False)


def test_modelled_energies_are_said_loudly_with_their_width(make_run: MakeRun) -> None:
    warning = evidence_warning(collect([make_run(model="a"), make_run(model="b")]))
    assert "MODELLED, not measured" in warning
    assert "factor of 2.0 above or below" in warning
    assert evidence_warning(collect([make_run(kind="measured")])) == ""


def test_no_runs_no_report() -> None:
    with pytest.raises(UsageError, match="no runs"):
        collect([])


def test_what_both_share_cancels_in_a_comparison(make_run: MakeRun) -> None:
    before = make_run(session="s1")
    after = make_run(session="s2", energies_j=(11.0, 11.1, 10.9, 11.05, 10.95, 11.0))
    (pair,) = pair_up([before], [after])
    assert pair.times is not None
    assert pair.times.value == pytest.approx(1.1, rel=1e-3)
    assert pair.times.low > 1.08, "the same workload under the same model: 10 % more is seen"
    assert pair.verdict == "more"
    assert pair.exceeds(0.05)
    assert not pair.exceeds(0.2)


def test_comparing_says_what_failed(make_run: MakeRun) -> None:
    slower = make_run(session="s2", energies_j=(12.0, 12.1, 11.9, 12.05, 11.95, 12.0))
    report = compare([make_run()], [slower], 0.05)
    assert report.failed == ("text-classification--model-a",)
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([make_run()], [make_run(model="other")])
    gone = compare([make_run()], [make_run(model="other")], 0.05)
    assert gone.failed == ("text-classification--model-a",)


def test_a_lost_domain_never_makes_a_model_look_cheap(make_run: MakeRun) -> None:
    dear = make_run(model="dear", energies_j=(11.0,) * 6, lost="read error")  # 2.2 J of cpu alone, 3.3 J in truth
    honest = make_run(model="honest")  # 3.0 J of cpu and dram
    first, second = collect([dear, honest]).entries
    assert first.run.workload.model == "honest"
    assert first.ranked
    assert not second.ranked
    assert second.note == "not ranked, without dram: read error"
    rows = from_runs([dear, honest]).rows
    assert [(r.model, r.rank) for r in rows] == [("honest", 1), ("dear", None)]


def test_a_run_that_was_cut_off_says_so(make_run: MakeRun) -> None:
    import msgspec

    cut = msgspec.structs.replace(make_run(), status="interrupted")
    assert collect([cut]).entries[0].note == "cut off after 6 trials"
    empty = msgspec.structs.replace(make_run(), status="running", trials=())
    assert collect([empty]).entries[0].note == "cut off before its first trial was whole"


def test_a_failure_never_passes_for_an_improvement(make_run: MakeRun) -> None:
    good, other = make_run(), make_run(model="other")
    report = compare([good, other], [make_run(failure="out of memory")], 0.05)
    assert report.failed == ("text-classification--model-a", "text-classification--other")
    assert report.only_before == ("text-classification--other",)
    assert "out of memory" in report.pairs[0].reason
    assert compare([good], [good, other], 0.05).only_after == ("text-classification--other",)


def test_other_settings_of_the_suite_are_another_workload(make_run: MakeRun) -> None:
    import msgspec

    def with_threads(threads: int) -> Run:
        run = make_run()
        workload = msgspec.structs.replace(run.workload, settings={"threads": threads})
        return msgspec.structs.replace(run, workload=workload)

    (pair,) = pair_up([with_threads(1)], [with_threads(8)])
    assert pair.times is None
    assert pair.reason == "the work differs: threads 1 against 8"


def test_another_machine_is_named(make_run: MakeRun) -> None:
    import msgspec

    run = make_run()
    elsewhere = msgspec.structs.replace(run, machine=dataclasses.replace(run.machine, cpus=64))
    (pair,) = pair_up([run], [elsewhere])
    assert pair.reason == "on another machine"
    assert len(collect([run, elsewhere]).machines()) == 2


def test_data_may_hold_brackets(make_run: MakeRun) -> None:
    from joulemark.cli.output import console
    from joulemark.reports.terminal import benchmark_view

    screen = console()
    with screen.capture() as captured:
        screen.print(benchmark_view(collect([make_run(model="[/nope] [bold]x")])))
    assert "[/Nope] [Bold]X" in captured.get()


def test_other_inputs_are_not_compared(make_run: MakeRun) -> None:
    import msgspec

    run = make_run()
    workload = msgspec.structs.replace(run.workload, inputs_sha256="1" * 64)
    (pair,) = pair_up([run], [msgspec.structs.replace(run, workload=workload)])
    assert pair.verdict == "not comparable"
    assert pair.reason.startswith("the work differs: inputs made-up/1")


def test_the_page_needs_no_network_and_says_the_numbers(make_run: MakeRun, tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="the report extra is not installed")
    from joulemark.reports.html import write_report

    path = tmp_path / "report.html"
    nasty = make_run(model="<script>alert(1)</script>")
    write_report([make_run(), nasty, make_run(model="broken", failure="it <b>broke</b>")], path, place("ITA"))
    page = path.read_text()
    assert "<script" not in page, "text from records is escaped"
    assert "it &lt;b&gt;broke&lt;/b&gt;" in page
    assert page.count("<svg") == 2
    for network in ("http-equiv", 'src="http', "url(http", "@import", "<link"):
        assert network not in page
    assert "MODELLED" in page
    assert "Italy" in page
    assert path.stat().st_size < 3_000_000


def test_results_can_be_replaced_but_not_changed(make_run: MakeRun) -> None:
    entry = collect([make_run()]).entries[0]
    with pytest.raises(AttributeError):
        entry.verdict = None  # type: ignore[misc, assignment]
    assert replace(entry, times_best=None).times_best is None
