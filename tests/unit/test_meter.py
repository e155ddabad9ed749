"""Windows: what they add up, what they refuse to add up, and what they say of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from joulemark.boundary import Component
from joulemark.errors import SensorError, SensorUnavailable, UsageError
from joulemark.figures import Kind, NotComparable, ratio
from joulemark.meter import Meter, Window
from joulemark.meter.meter import _sampling_interval_s
from joulemark.readings import Accuracy
from joulemark.records import load_measurement
from joulemark.sensors import Domain, FakeDomain, FakeSensor, Fault, ReplaySensor
from tests.simulated import Clock

SAMPLER = "joulemark-sampler"
RESTING = Accuracy(gain=0.0)


def domain(name: str = "cpu-0", *, gauge: bool = False, wrap_uj: int | None = None, period_s: float = 0.0) -> Domain:
    return Domain(
        name=name,
        components=frozenset({Component(name.partition("-")[0])}),
        kind="measured",
        reading="gauge" if gauge else "counter",
        accuracy=Accuracy(gain=0.0, period_s=period_s),
        wrap_uj=wrap_uj,
    )


def fake(shown: Domain, power_w: float = 100.0, **details: object) -> FakeDomain:
    return FakeDomain(domain=shown, energy_j=lambda t: power_w * t, **details)  # type: ignore[arg-type]


def replay(shown: Domain, *readings: tuple[float, int | SensorError]) -> ReplaySensor:
    return ReplaySensor([shown], [(round(t * 1e9), {shown.name: r}) for t, r in readings])


def one_window(
    sensor: FakeSensor | ReplaySensor, start_s: float, end_s: float, *, reads_s: tuple[float, ...] = ()
) -> Window:
    """Measure from one time to another, with further readings in between."""
    clock = Clock()
    meter = Meter([sensor], clock_ns=clock)
    clock.advance(start_s)
    with meter.measure() as window:
        for moment_s in reads_s:
            clock.advance(moment_s - clock.now_s)
            with meter.measure():
                pass
        clock.advance(end_s - clock.now_s)
    return window


def samplers() -> int:
    return sum(thread.name == SAMPLER for thread in threading.enumerate())


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it did not come about within 10 s"
        time.sleep(0.005)


class Silent:
    """A sensor that breaks the seam's promise and leaves a domain out."""

    name = "silent 1"
    domains = (domain("cpu-0"), domain("gpu-0"))

    def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
        return {"gpu-0": 0, "board-0": 1}

    def close(self) -> None:
        pass


# Windows


def test_windows_nest_and_overlap() -> None:
    clock = Clock()
    meter = Meter([FakeSensor([fake(domain(), 100.0)])], clock_ns=clock)
    first, second, inner = meter.measure("first"), meter.measure("second"), meter.measure("inner")

    first.start()  # 0 s
    clock.advance(1)
    second.start()  # 1 s
    clock.advance(1)
    with inner:  # 2 s to 3 s
        clock.advance(1)
    first.stop()  # 3 s
    clock.advance(4)
    second.stop()  # 7 s

    assert (first.energy.value, second.energy.value, inner.energy.value) == pytest.approx((300, 600, 100))
    assert (first.duration_s, second.duration_s, inner.duration_s) == (3, 6, 1)
    assert second.record.start_s == 1
    assert second.power.value == pytest.approx(100)
    assert second.power.unit == "W"


def test_a_window_is_opened_once_closed_once_and_asked_afterwards() -> None:
    window = Meter([FakeSensor.constant({"cpu-0": 10.0})]).measure("work")
    with pytest.raises(UsageError, match="not open"):
        window.stop()
    assert str(window) == "work: not opened yet"
    window.start()
    assert str(window) == "work: open"
    with pytest.raises(UsageError, match="opened before"):
        window.start()
    with pytest.raises(UsageError, match="not closed yet"):
        _ = window.energy
    window.stop()
    with pytest.raises(UsageError, match="not open"):
        window.stop()


def test_a_window_around_work_that_fails_is_closed_and_lets_the_error_through() -> None:
    clock = Clock()
    meter = Meter([FakeSensor.constant({"cpu-0": 10.0})], clock_ns=clock)
    window = meter.measure()

    def fail() -> None:
        with window:
            clock.advance(2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert window.energy.value == pytest.approx(20)


def test_two_sensors_of_one_domain_are_refused() -> None:
    with pytest.raises(UsageError, match="same domain"):
        Meter([FakeSensor.constant({"cpu-0": 1.0}), FakeSensor.constant({"cpu-0": 2.0}, gain=0.1)])


def test_a_machine_without_any_sensor_has_no_energy_rather_than_none() -> None:
    with Meter([]) as meter, meter.measure() as window:
        pass

    assert not window.energy.available
    assert "no sensor and no model" in str(window.energy)


def test_only_an_antichain_is_added() -> None:
    clock = Clock()

    def zone(name: str, power_w: float, *, parent: str | None = None, container: bool = False) -> FakeDomain:
        shown = Domain(
            name=name,
            components=frozenset({Component.CPU}),
            kind="measured",
            reading="counter",
            accuracy=RESTING,
            parent=parent,
            container=container,
        )
        return fake(shown, power_w)

    sensor = FakeSensor(
        [
            zone("psys", 190, container=True),
            zone("cpu-0", 100),
            zone("cpu-0/core", 60, parent="cpu-0"),
            zone("cpu-1", 50),
        ]
    )
    with Meter([sensor], clock_ns=clock).measure() as window:
        clock.advance(10)

    assert window.energy.value == pytest.approx(1500)
    assert window.domains["psys"].value == pytest.approx(1900)


def test_a_saved_window_says_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    clock = Clock()
    with Meter([FakeSensor.constant({"cpu-0": 10.0}, gain=0.1)], clock_ns=clock).measure("work") as window:
        clock.advance(3)
    window.save(tmp_path / "work.json")

    loaded = load_measurement(tmp_path / "work.json")

    assert loaded.windows == (window.record,)
    assert loaded.label == "work"
    assert loaded.instrument is not None


# Counters


def test_one_wrap_is_exact() -> None:
    window = one_window(FakeSensor([fake(domain(wrap_uj=9_999_999_999))]), 99, 102)  # 9.9 kJ, wraps at 10 kJ

    assert window.energy.value == pytest.approx(300, abs=1e-9)


@pytest.mark.parametrize("after_uj", [0, 1, 15, 1_000])
def test_a_reading_just_after_a_wrap_is_right(after_uj: int) -> None:
    """Others are a whole range short here: they count wraps beside the reading, and the count comes late."""
    range_uj = 262_143_328_850
    window = one_window(
        replay(domain(wrap_uj=range_uj), (0, range_uj - 500_000_000), (10, after_uj)), start_s=0, end_s=10
    )

    assert window.energy.value == pytest.approx((500_000_001 + after_uj) / 1e6, abs=1e-9)


def test_a_window_that_may_have_wrapped_twice_is_unavailable() -> None:
    wrapping = domain(wrap_uj=999_999_999)  # 1,000 J: at the most that can flow, 1,000 W, one second
    seldom = one_window(FakeSensor([fake(wrapping, 900.0)]), 0, 3)
    often = one_window(FakeSensor([fake(wrapping, 900.0)]), 0, 3, reads_s=(0.9, 1.8, 2.7))

    assert not seldom.energy.available
    assert "more than one wrap" in str(seldom.energy)
    assert often.energy.value == pytest.approx(2700)


@pytest.mark.parametrize("wrap_uj", [None, 262_143_328_850])
def test_a_reset_is_unavailable_and_never_an_energy(wrap_uj: int | None) -> None:
    sensor = FakeSensor([fake(domain(wrap_uj=wrap_uj), 100.0, resets_s=[1005.0])])

    window = one_window(sensor, 1000, 1010)

    assert not window.energy.available
    assert "was reset" in str(window.energy)


def test_a_reset_in_one_window_leaves_the_others_alone() -> None:
    clock = Clock()
    meter = Meter([FakeSensor([fake(domain(), 100.0, resets_s=[5.0])])], clock_ns=clock)
    windows = []
    with meter.measure() as whole:
        for _ in range(3):
            with meter.measure() as window:
                clock.advance(3)
            windows.append(window)

    assert [w.energy.available for w in windows] == [True, False, True]
    assert windows[2].energy.value == pytest.approx(300)
    assert not whole.energy.available


@pytest.mark.parametrize(("start_s", "end_s"), [(1.5, 4.0), (0.0, 1.5)], ids=["at opening", "at closing"])
@pytest.mark.parametrize("wrap_uj", [None, 262_143_328_850])
def test_a_failed_read_at_an_edge_is_unavailable(start_s: float, end_s: float, wrap_uj: int | None) -> None:
    lost = Fault(1.0, 2.0, SensorUnavailable("EIO"))

    window = one_window(FakeSensor([fake(domain(wrap_uj=wrap_uj), faults=[lost])]), start_s, end_s)

    energy = window.record.energies[0]
    assert energy.energy_j is None
    assert energy.unavailable == "EIO"


def test_a_failed_read_in_the_middle_of_a_counters_window_loses_nothing() -> None:
    sensor = FakeSensor([fake(domain(wrap_uj=262_143_328_850), faults=[Fault(1.0, 2.0)])])

    window = one_window(sensor, 0, 4, reads_s=(0.5, 1.2, 1.4, 1.8, 3.0))

    assert window.energy.value == pytest.approx(400, abs=1e-9)


def test_a_counter_away_for_longer_than_a_wrap_may_take_is_unavailable() -> None:
    sensor = FakeSensor([fake(domain(wrap_uj=999_999_999), 300.0, faults=[Fault(0.5, 2.5)])])

    window = one_window(sensor, 0, 4, reads_s=(0.4, 1.0, 2.0, 3.0, 3.5))

    assert "more than one wrap" in str(window.energy)


def test_a_counter_that_had_no_time_to_move_is_unavailable_and_not_zero() -> None:
    """10 ms on a counter that is renewed every 100 ms: it may well show 0 J while 1 J flows."""
    slow = domain("gpu-0", period_s=0.1)
    between = one_window(FakeSensor([fake(slow)]), 1.02, 1.03)

    assert not between.energy.available
    assert "did not move in 10.0 ms (it is updated every 0.1 s)" in str(between.energy)


def test_a_domain_that_the_sensor_leaves_out_is_unavailable_and_not_zero() -> None:
    clock = Clock()
    with Meter([Silent()], clock_ns=clock).measure() as window:
        clock.advance(1)

    assert "left this domain out" in str(window.domains["cpu-0"])
    assert "left this domain out" not in str(window.domains["gpu-0"]), "the others are read as before"


# Gauges


def test_a_gauge_is_integrated_by_trapezoids() -> None:
    clock = Clock()
    ramp = FakeDomain(domain=domain("gpu-0", gauge=True), energy_j=lambda t: 50.0 * t * t)  # P = 100 t
    meter = Meter([FakeSensor([ramp])], clock_ns=clock)
    with meter.measure() as window:
        for seconds in (0.3, 0.9, 0.2, 0.7, 1.0, 0.9):
            clock.advance(seconds)
            with meter.measure():
                pass

    # Exact for a ramp; the fake takes its power over the last 1 ms, 0.05 W less than at the moment itself.
    assert window.energy.value == pytest.approx(50 * 4.0**2, abs=0.06 * 4)


def test_a_gauge_that_was_not_read_for_a_while_is_unavailable() -> None:
    sensor = FakeSensor([fake(domain("gpu-0", gauge=True), faults=[Fault(1.0, 2.0, SensorUnavailable("gone"))])])

    gap = one_window(sensor, 0, 4, reads_s=(0.5, 1.5, 2.5, 3.0))
    after = one_window(sensor, 2.1, 4, reads_s=(3.0,))
    starved = one_window(sensor, 3, 6)

    assert not gap.energy.available
    assert "gone" in str(gap.energy)
    assert after.energy.value == pytest.approx(190)
    assert "no power reading for 3.0 s" in str(starved.energy), "no straight line across what nobody saw"


def test_a_gauge_that_fails_at_an_edge_is_unavailable() -> None:
    sensor = FakeSensor([fake(domain("gpu-0", gauge=True), faults=[Fault(1.0, 2.0)])])

    assert not one_window(sensor, 0, 1.5).energy.available
    assert not one_window(sensor, 1.5, 3).energy.available


# What a total says that it does not cover


def test_a_sensor_that_dies_leaves_the_boundary_and_is_named() -> None:
    lost = Fault(5.0, 1e9, SensorUnavailable("GPU is lost"))
    sensor = FakeSensor([fake(domain("cpu-0"), 50.0), fake(domain("gpu-0"), 300.0, faults=[lost])])

    before, during = one_window(sensor, 0, 4), one_window(sensor, 0, 10)

    assert before.energy.boundary.components == {Component.CPU, Component.GPU}
    assert during.energy.value == pytest.approx(500)
    assert during.energy.boundary.components == {Component.CPU}
    assert [(p.name, p.kind, p.reason) for p in during.energy.evidence.missing] == [
        ("gpu-0", Kind.UNAVAILABLE, "GPU is lost")
    ]
    assert "gpu-0" in str(during.energy.evidence)
    with pytest.raises(NotComparable, match="GPU"):
        ratio(before.energy, during.energy)


def test_a_total_that_lost_one_of_two_gpus_is_not_compared_with_a_whole_one() -> None:
    """A missing reading must not make a model look good: 100 J of one GPU against 400 J of two."""
    lost = Fault(5.0, 1e9)
    sensor = FakeSensor([fake(domain("gpu-0"), 10.0), fake(domain("gpu-1"), 30.0, faults=[lost])])
    whole, half = one_window(sensor, 0, 4), one_window(sensor, 0, 10)

    assert [p.name for p in half.energy.evidence.missing] == ["gpu-1"]
    with pytest.raises(NotComparable):
        ratio(whole.energy, half.energy)


# Threads, sampling, and what measuring costs


@pytest.mark.parametrize("gauge", [False, True])
def test_eight_threads_open_and_close_windows_at_once(gauge: bool) -> None:
    class Slow(FakeSensor):
        """Lets other threads in between its reading and its answer, as a driver does."""

        def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
            readings = super().read(now_ns)
            time.sleep(0)
            return readings

    meter = Meter([Slow([fake(domain("gpu-0", gauge=gauge), 100.0), fake(domain("cpu-0"), 60.0)])])
    found: list[Window] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for i in range(25):
            with meter.measure() as outer, meter.measure() as inner:
                time.sleep(0.0001 * ((number + i) % 3))
            found.extend((outer, inner))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 400
    for window in found:
        assert window.energy.value == pytest.approx(
            160 * window.duration_s, rel=1e-4, abs=0.5e-6 * meter.instrument.readings
        )  # half a µJ a step
    wait_until(lambda: samplers() == 0)


def test_a_counter_that_does_not_wrap_is_read_at_the_edges_only() -> None:
    meter = Meter([FakeSensor([fake(domain())])])
    with meter.measure():
        assert samplers() == 0

    assert meter.instrument.readings == 2


@pytest.mark.parametrize(
    "shown", [domain("gpu-0", gauge=True), domain(wrap_uj=199_999_999)], ids=["gauge", "wrapping counter"]
)
def test_the_sampler_runs_while_a_window_is_open_and_not_longer(shown: Domain) -> None:
    # Each look at the clock is worth 50 ms: the counter of 200 J, at 900 W, wraps every five readings.
    clock = Clock(step_s=0.05)
    meter = Meter([FakeSensor([fake(shown, 900.0)])], clock_ns=clock)
    assert samplers() == 0

    with meter.measure() as outer:
        with meter.measure():
            assert samplers() == 1
        assert samplers() == 1  # the outer window is still open
        wait_until(lambda: meter.instrument.readings >= 9)
    wait_until(lambda: samplers() == 0)
    with meter.measure() as again:
        assert samplers() == 1
    wait_until(lambda: samplers() == 0)

    assert outer.duration_s >= 0.4
    assert outer.energy.value == pytest.approx(900 * outer.duration_s, abs=1e-4)
    assert again.energy.value == pytest.approx(900 * again.duration_s, abs=1e-4)


def test_a_wrapping_counter_is_read_twice_or_more_in_the_shortest_time_that_a_wrap_can_take() -> None:
    package = domain(wrap_uj=262_143_328_850)  # 262 s at 1,000 W
    memory = domain("dram-0", wrap_uj=65_532_610_987)  # 66 s

    interval_s = _sampling_interval_s([package, memory, domain("gpu-0")])

    assert interval_s is not None
    assert 10 < interval_s < 66 / 2
    assert _sampling_interval_s([domain("gpu-0")]) is None
    assert _sampling_interval_s([package, domain("gpu-0", gauge=True)]) == 0.1


def test_closing_the_meter_stops_the_sampler_and_closes_the_sensors() -> None:
    sensor = FakeSensor([fake(domain("gpu-0", gauge=True))])
    with Meter([sensor]) as meter:
        meter.measure("left open").start()
        assert samplers() == 1

    assert sensor.closed
    wait_until(lambda: samplers() == 0)


def test_the_meter_says_what_measuring_cost() -> None:
    class Slow(FakeSensor):
        """Takes 20 ms of CPU time to read."""

        def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
            end_ns = time.thread_time_ns() + 20_000_000
            while time.thread_time_ns() < end_ns:
                pass
            return super().read(now_ns)

    meter = Meter([Slow([fake(domain())])])
    with meter.measure():
        time.sleep(0.02)  # the window's own work is not the instrument's

    assert meter.instrument.readings == 2
    assert 0.040 <= meter.instrument.cpu_s < 0.055


# Decorated functions


def test_each_call_of_a_decorated_function_has_a_window() -> None:
    clock = Clock()
    meter = Meter([FakeSensor.constant({"cpu-0": 10.0})], clock_ns=clock)

    @meter.measure("step")
    def step(seconds: float) -> float:
        """Takes a while."""
        clock.advance(seconds)
        return seconds

    assert [step(1), step(2)] == [1, 2]
    assert [w.energy.value for w in step.windows] == [pytest.approx(10), pytest.approx(20)]
    assert step.__doc__ == "Takes a while."


def test_a_decorated_function_that_raises_is_measured_all_the_same() -> None:
    clock = Clock()
    meter = Meter([FakeSensor.constant({"cpu-0": 10.0})], clock_ns=clock)

    @meter.measure()
    def fails() -> None:
        clock.advance(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails()
    assert fails.windows[0].label == "fails"
    assert fails.windows[0].energy.value == pytest.approx(10)


def test_coroutines_overlap_and_each_has_its_own_window() -> None:
    clock = Clock()
    meter = Meter([FakeSensor.constant({"cpu-0": 10.0})], clock_ns=clock)

    class Server:
        @meter.measure("request")
        async def answer(self, pauses: int) -> int:
            for _ in range(pauses):
                clock.advance(1)
                await asyncio.sleep(0)
            return pauses

    async def both() -> list[int]:
        server = Server()
        return list(await asyncio.gather(server.answer(1), server.answer(3)))

    assert asyncio.run(both()) == [1, 3]
    # The first is open while the second begins: 1 s of its own work and 1 s of the other's.
    assert [w.duration_s for w in Server.answer.windows] == [pytest.approx(2), pytest.approx(3)]


# A reading that is not what it seems


def test_a_counter_that_does_not_move_is_stuck_and_not_zero() -> None:
    clock = [0]
    stuck = FakeSensor([FakeDomain(domain=domain("cpu-0"), energy_j=lambda t: 5.0)])
    meter = Meter([stuck], clock_ns=lambda: clock[0])
    with meter.measure() as window:
        clock[0] += 60_000_000_000
    assert not window.energy.available
    assert "did not move in 1 min 00 s" in window.energy.evidence.missing[0].reason


def test_a_sensor_that_raises_takes_only_its_own_domains_with_it() -> None:
    class Broken(FakeSensor):
        def read(self, now_ns: int) -> Mapping[str, int | SensorError]:
            raise RuntimeError("a stranger's mistake")

    clock = [0]
    meter = Meter(
        [FakeSensor.constant({"cpu-0": 10.0}), Broken([fake(domain("gpu-0"), 1.0)])], clock_ns=lambda: clock[0]
    )
    with meter.measure() as window:
        clock[0] += 1_000_000_000
    assert window.energy.value == pytest.approx(10)
    assert "a stranger's mistake" in window.energy.evidence.missing[0].reason
