"""Many measurements, one figure: nodes are added, ranks of a node counted once, and what is missing is said."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from joulemark.boundary import Component
from joulemark.errors import UsageError
from joulemark.figures import NotComparable
from joulemark.readings import Accuracy, DomainEnergy, DomainRecord, Machine, WindowRecord
from joulemark.records import MEASUREMENT_SCHEMA, Measurement, load_measurement, measurement_energy, save
from joulemark.records.merge import energy_by_node, merge

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
A, B = "a" * 64, "b" * 64


def domain(name: str, *, gain: float = 0.0, modelled: bool = False, mix: float = 0.0) -> DomainRecord:
    return DomainRecord(
        name=name,
        components=(Component(name.split("-")[0]),),
        sensor="fake 1",
        kind="modelled" if modelled else "measured",
        accuracy=Accuracy(gain=gain, mix=mix),
        parameters={"max_w": 4.0} if modelled else {},
    )


def measurement(
    node: str | None,
    energies: dict[str, float | str],
    *,
    rank: int | None = None,
    session: str = "",
    start_s: float = 0.0,
    duration_s: float = 10.0,
    ended_s: float = 10.0,
    **kind: float,
) -> Measurement:
    """A measurement of 10 s that ended `ended_s` after noon; a text in place of an energy is why there is none."""
    own = session or f"{node}/{rank}/{start_s}/{ended_s}"
    return Measurement(
        schema=MEASUREMENT_SCHEMA,
        id=f"{own}/{start_s}",
        session=own,
        created=(NOON + timedelta(seconds=ended_s)).isoformat(timespec="seconds"),
        label="training",
        machine=Machine(processor="made-up", cpus=2, memory_bytes=1, system="Linux", virtual=True),
        software={},
        domains=tuple(domain(name, **kind) for name in energies),  # type: ignore[arg-type]
        windows=(
            WindowRecord(
                label="training",
                start_s=start_s,
                duration_s=duration_s,
                energies=tuple(
                    DomainEnergy(domain=name, unavailable=value)
                    if isinstance(value, str)
                    else DomainEnergy(domain=name, energy_j=value)
                    for name, value in energies.items()
                ),
            ),
        ),
        node=node,
        local_rank=rank,
    )


def test_nodes_are_added() -> None:
    whole = merge([measurement(A, {"cpu-0": 100, "gpu-0": 400}), measurement(B, {"cpu-0": 90, "gpu-0": 410})])

    assert whole.value == pytest.approx(1000)
    assert whole.boundary.components == {Component.CPU, Component.GPU}
    assert [p.name for p in whole.parts] == ["node 1/cpu-0", "node 1/gpu-0", "node 2/cpu-0", "node 2/gpu-0"]


def test_the_energy_of_each_node_can_be_asked_for() -> None:
    by_node = energy_by_node([measurement(B, {"cpu-0": 90}), measurement(A, {"cpu-0": 100})])
    assert {node: figure.value for node, figure in by_node.items()} == {A: 100, B: 90}


def test_ranks_of_one_node_count_the_node_once() -> None:
    """Eight ranks on each of two nodes: two nodes, not sixteen."""
    ranks = [measurement(n, {"cpu-0": 100 + r, "gpu-0": 400}, rank=r) for n in (A, B) for r in range(8)]
    assert merge(reversed(ranks)).value == pytest.approx(1000)


def test_a_single_rank_that_measured_is_enough() -> None:
    assert merge([measurement(A, {"cpu-0": 100}, rank=3)]).value == 100


def test_a_domain_that_rank_0_could_not_read_is_taken_from_one_that_could() -> None:
    whole = merge(
        [
            measurement(A, {"cpu-0": 100, "gpu-1": "lost"}, rank=0),
            measurement(A, {"cpu-0": 101, "gpu-1": 400}, rank=1),
        ]
    )
    assert whole.value == pytest.approx(500)
    assert not whole.evidence.missing


def test_a_device_that_only_its_own_rank_measured_is_counted() -> None:
    whole = merge(
        [
            measurement(A, {"cpu-0": 100, "gpu-0": 400}, rank=0),
            measurement(A, {"cpu-0": 100, "gpu-1": 300}, rank=1),
        ]
    )
    assert whole.value == pytest.approx(800)


def test_a_failed_domain_is_missing_from_the_total_and_named_with_its_node() -> None:
    whole = merge([measurement(A, {"cpu-0": 100, "gpu-0": 400}), measurement(B, {"cpu-0": 90, "gpu-0": "fell off"})])

    assert whole.value == pytest.approx(590)
    assert [(p.name, p.reason) for p in whole.evidence.missing] == [("node 2/gpu-0", "fell off")]


def test_a_node_without_a_measurement_is_missing_by_number() -> None:
    whole = merge([measurement(A, {"cpu-0": 100})], nodes=3)

    assert whole.value == 100
    assert [p.name for p in whole.evidence.missing] == ["node 2", "node 3"]
    assert "no measurement" in str(whole.evidence)


def test_a_node_of_which_nothing_could_be_read_is_missing() -> None:
    whole = merge([measurement(A, {"cpu-0": 100}), measurement(B, {"cpu-0": "no permission"})])
    assert (whole.value, str(whole.evidence)) == (100, "measured; missing node 2/cpu-0 (no permission)")


def test_nothing_but_failures_is_unavailable_and_never_zero() -> None:
    assert math.isnan(merge([measurement(A, {"cpu-0": "gone"})]).value)
    assert not merge([measurement(A, {})]).available


def test_more_nodes_than_there_should_be_are_refused() -> None:
    with pytest.raises(UsageError, match="of 2 nodes, more than the 1"):
        merge([measurement(A, {"cpu-0": 1}), measurement(B, {"cpu-0": 1})], nodes=1)


def test_measurements_of_one_node_that_follow_each_other_are_added() -> None:
    one, two = measurement(A, {"cpu-0": 100}, ended_s=10), measurement(A, {"cpu-0": 50}, ended_s=20)
    assert merge([one, two]).value == pytest.approx(150)


def test_measurements_of_one_node_at_the_same_time_are_refused() -> None:
    one, two = measurement(A, {"cpu-0": 100}, ended_s=10), measurement(A, {"cpu-0": 50}, ended_s=15)
    with pytest.raises(UsageError, match="of one machine at the same time: each holds the energy of both"):
        merge([one, two])


def test_two_jobs_on_one_node_at_the_same_time_are_refused() -> None:
    one, two = (measurement(A, {"cpu-0": 100}, rank=0, session=s) for s in ("job 1", "job 2"))
    with pytest.raises(UsageError, match="same time"):
        merge([one, two])


def test_a_command_that_encloses_its_ranks_is_not_added_to_them() -> None:
    """``joulemark measure -- torchrun ...`` with a script that measures too."""
    whole = measurement(A, {"cpu-0": 120}, duration_s=12, ended_s=11)
    ranks = [measurement(A, {"cpu-0": 100}, rank=r) for r in range(2)]
    with pytest.raises(UsageError, match="same time"):
        merge([whole, *ranks])


def test_windows_of_one_meter_are_compared_by_its_own_clock() -> None:
    """Both records were written at the end: their wall-clock time says nothing."""
    one = measurement(A, {"cpu-0": 100}, session="s", start_s=0, ended_s=20)
    after = measurement(A, {"cpu-0": 50}, session="s", start_s=10, ended_s=20)
    within = measurement(A, {"cpu-0": 50}, session="s", start_s=9.5, duration_s=2, ended_s=20)

    assert merge([one, after]).value == pytest.approx(150)
    with pytest.raises(UsageError, match="same time"):
        merge([one, within])


def test_jobs_one_after_the_other_are_added_with_each_rank_once() -> None:
    ranks = [measurement(A, {"cpu-0": 100}, rank=r, ended_s=e) for r in range(4) for e in (10, 30)]
    assert merge(ranks).value == pytest.approx(200)


def test_the_windows_before_the_last_belong_to_it_and_are_not_added() -> None:
    work = measurement(A, {"cpu-0": 100})
    rest = replace(work.windows[0], label="idle", start_s=-5.0, duration_s=5.0)
    assert merge([structs.replace(work, windows=(rest, *work.windows))]).value == 100


def test_nodes_that_cover_different_things_are_not_added() -> None:
    with pytest.raises(NotComparable, match="Node 1 and node 2 do not cover the same: only the first counts GPU"):
        merge([measurement(A, {"cpu-0": 100, "gpu-0": 400}), measurement(B, {"cpu-0": 90})])


def test_a_measurement_given_twice_is_refused() -> None:
    one = measurement(A, {"cpu-0": 100})
    with pytest.raises(UsageError, match="given twice"):
        merge([one, one])


def test_nothing_to_merge_is_refused() -> None:
    with pytest.raises(UsageError, match="no measurement"):
        merge([])
    with pytest.raises(UsageError, match="holds no window"):
        merge([structs.replace(measurement(A, {}), windows=())])


def test_measurements_that_do_not_name_their_machine_are_refused_unless_one_meter_made_them() -> None:
    old = measurement(None, {"cpu-0": 100})
    assert merge([old]).value == 100
    with pytest.raises(UsageError, match="does not say which machine"):
        merge([old, measurement(A, {"cpu-0": 100})])
    pair = [measurement(None, {"cpu-0": 100}, session="s", start_s=s) for s in (0, 10)]
    assert merge(pair).value == 200


def test_sensors_of_two_nodes_err_apart_and_one_model_errs_alike() -> None:
    sensors = [measurement(n, {"cpu-0": 100}, gain=0.1) for n in (A, B)]
    models = [measurement(n, {"cpu-0": 100}, gain=0.1, mix=0.1, modelled=True) for n in (A, B)]

    assert merge(sensors).standard_uncertainty == pytest.approx(10 * math.sqrt(2))
    assert merge(models).standard_uncertainty == pytest.approx(20 * math.sqrt(2)), "gain and mix, each for both nodes"


def test_one_measurement_merged_is_what_it_was() -> None:
    one = measurement(A, {"cpu-0": 100, "gpu-0": 300}, gain=0.05)
    (alone,) = measurement_energy(one)
    assert (merge([one]).low, merge([one]).high) == pytest.approx((alone.low, alone.high))


def test_the_node_and_the_rank_go_through_a_file(tmp_path: Path) -> None:
    one = measurement(A, {"cpu-0": 100}, rank=2)
    save(one, tmp_path / "m.json")
    assert load_measurement(tmp_path / "m.json") == one


def test_a_file_without_them_still_loads(tmp_path: Path) -> None:
    save(measurement(A, {"cpu-0": 100}, rank=2), tmp_path / "m.json")
    lines = (tmp_path / "m.json").read_text().splitlines()
    kept = [line for line in lines if '"node"' not in line and '"local_rank"' not in line]
    (tmp_path / "m.json").write_text("\n".join(kept).replace('"command": null,', '"command": null'))

    assert (load_measurement(tmp_path / "m.json").node, load_measurement(tmp_path / "m.json").local_rank) == (
        None,
        None,
    )
