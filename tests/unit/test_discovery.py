"""What is looked for, what is used, and why the rest is not."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from joulemark.boundary import Component
from joulemark.errors import MissingExtra, SensorError
from joulemark.meter import Meter
from joulemark.sensors import Discovery, Places, Sensor, discover, discovery
from joulemark.sensors.amd import AmdSmiSensor
from joulemark.sensors.machine import describe_machine
from joulemark.sensors.points import Point, entry_points
from joulemark.sensors.seam import PartialSensor
from joulemark.testing import SimulatedSensor
from tests.simulated import FakeNvml, PowercapTree, Procfs, fake_nvml, nvml_library
from tests.simulated.amdsmi import FakeAmdSmi, FakeCard
from tests.simulated.hwmon import HwmonTree
from tests.simulated.servers import Device, shelly_gen2

__all__ = ["fake_nvml", "nvml_library"]

BUILT_IN = {
    name: f"joulemark.sensors.discovery:{name.replace('-', '_')}"
    for name in (*discovery.PREFERRED, "cpu-load", "dram-size")
}
MODELS = {"cpu load model 1", "dram size model 1"}

Factory = Callable[[Places], object]
Register = Callable[..., None]


def not_callable_without_reason(places: Places) -> Sensor:
    raise KeyError("a mistake of its author")


def gives_nothing(places: Places) -> None:
    return None


def needs_an_extra(places: Places) -> Sensor:
    raise MissingExtra("pyamdgpuinfo", "amd", "Reading AMD GPUs")


@dataclass(frozen=True)
class Registered:
    """An entry point whose object is at hand."""

    name: str
    factory: Factory
    value: str = "a factory of the test"

    def load(self) -> Factory:
        return self.factory


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Register sensors beside the built-in ones, or in place of those of the same name: objects, or where they are."""

    def use(registered: dict[str, Factory | str] | None = None, *, built_in: bool = True) -> None:
        values: dict[str, Factory | str] = {**(BUILT_IN if built_in else {}), **(registered or {})}
        points = [Point(n, v) if isinstance(v, str) else Registered(n, v) for n, v in values.items()]
        monkeypatch.setattr(discovery, "entry_points", lambda group: points)

    use()
    return use


@pytest.fixture
def places(tmp_path: Path, register: Register, fake_nvml: FakeNvml) -> Places:
    """A machine without sensors, whose NVIDIA driver is not loaded."""
    return Places(sysfs=tmp_path / "sys", procfs=Procfs(tmp_path / "proc").root, devfs=tmp_path / "dev")


@pytest.fixture
def plug() -> Iterator[Device]:
    with shelly_gen2().serving() as device:
        yield device


def used(found: Discovery) -> set[str]:
    return {s.name for s in found.sensors}


def reasons(found: Discovery) -> dict[str, str]:
    return {r.sensor: r.reason for r in found.refused}


def not_needed(found: Discovery) -> dict[str, str]:
    return {name: reason for name, reason in reasons(found).items() if reason.startswith("not needed")}


def shown(found: Discovery) -> dict[str, list[str]]:
    """The domains that are read, by the entry point that they come from."""
    return {
        point: [domain.name for domain in sensor.domains]
        for point, sensor in zip(found.points, found.sensors, strict=True)
    }


def showing(*domains: str, modelled: bool = False) -> Factory:
    """Make a sensor of these domains, 10 W each."""

    def made(places: Places) -> SimulatedSensor:
        components = dict.fromkeys(("machine", "machine-1", "psys"), "board")
        sensor = SimulatedSensor.constant(dict.fromkeys(domains, 10.0), components=components)
        if modelled:
            sensor.domains = tuple(replace(domain, kind="modelled") for domain in sensor.domains)
        return sensor

    return made


def test_the_built_in_sensors_are_registered_as_a_plug_in_is() -> None:
    registered = {p.name: p.value for p in importlib.metadata.entry_points(group=discovery.GROUP)}
    assert registered.items() >= BUILT_IN.items()

    found = discover(deadline_s=10)  # on whatever machine this is: each is used, or refused with a reason
    found.close()

    assert {*found.points, *reasons(found)} == set(registered)
    assert len(found.points) == len(found.sensors)
    assert all(refusal.reason for refusal in found.refused)


def test_a_machine_without_sensors_gets_models_and_is_told_why(places: Places) -> None:
    found = discover(places)

    assert used(found) == MODELS
    assert found.points == ("cpu-load", "dram-size")
    assert set(reasons(found)) == set(discovery.PREFERRED)
    assert reasons(found)["nvml"] == "NVML: Driver Not Loaded"
    assert "no RAPL zones" in reasons(found)["rapl"]


def test_what_is_measured_is_not_modelled_as_well(places: Places, fake_nvml: FakeNvml) -> None:
    PowercapTree(places.sysfs)
    fake_nvml.install(100, 200)

    found = discover(places)

    assert used(found) == {"nvml 580.65-simulated", "rapl powercap"}
    assert not_needed(found) == {
        "cpu-load": "not needed: cpu is measured by rapl",
        "dram-size": "not needed: dram is measured by rapl",
    }


def test_memory_without_a_counter_is_modelled_beside_measured_packages(places: Places) -> None:
    tree = PowercapTree(places.sysfs, psys=False, mmio=False)
    for package in (0, 1):
        (tree.root / f"class/powercap/intel-rapl:{package}:1/name").write_text("uncore\n")

    found = discover(places)

    assert used(found) == {"rapl powercap", "dram size model 1"}


def test_psys_alone_keeps_no_model_out(places: Places) -> None:
    """Shown but never added, it would leave the machine without any processor in the total."""
    PowercapTree(places.sysfs, packages=(), mmio=False)

    assert used(discover(places)) == {"rapl powercap", *MODELS}


def test_where_permission_is_denied_the_load_model_takes_its_place_and_a_remedy_is_named(places: Places) -> None:
    PowercapTree(places.sysfs).deny()

    found = discover(places)

    assert used(found) == MODELS
    refusal = next(r for r in found.refused if r.sensor == "rapl")
    assert "root only" in refusal.reason
    assert refusal.remedy.startswith("sudo groupadd")
    assert "/etc/udev/rules.d/70-joulemark-powercap.rules" in refusal.remedy


def test_no_component_is_covered_twice_on_any_machine(places: Places, fake_nvml: FakeNvml) -> None:
    tree = PowercapTree(places.sysfs)
    fake_nvml.install(100)
    for deny in (False, True):
        if deny:
            tree.deny()
        kinds: dict[Component, set[str]] = {}
        for domain in (domain for sensor in discover(places).sensors for domain in sensor.domains):
            for component in domain.components if domain.parent is None and not domain.container else ():
                kinds.setdefault(component, set()).add(domain.kind)
        assert all(len(k) == 1 for k in kinds.values()), kinds
        assert {Component.CPU, Component.DRAM, Component.GPU} <= set(kinds)


# --- Of two sensors that show the same thing ------------------------------------------------------


def test_of_several_ways_to_one_counter_the_best_is_used_and_a_plug_in_comes_last(
    places: Places, register: Register
) -> None:
    order = ["rapl", "perf", "hwmon", "msr", "aaa-plug-in"]
    while order:
        register({name: showing("cpu-0") for name in reversed(order)}, built_in=False)

        found = discover(places)

        assert found.points == (order[0],)
        assert reasons(found) == dict.fromkeys(order[1:], f"not needed: cpu-0 is measured by {order[0]}")
        order.pop(0)


def test_a_domain_that_the_better_sensor_lacks_is_taken_from_the_next(places: Places, register: Register) -> None:
    register({"rapl": showing("cpu-0", "cpu-1"), "perf": showing("cpu-0", "cpu-0/core", "dram-0", "psys")})

    found = discover(places)

    assert shown(found) == {"rapl": ["cpu-0", "cpu-1"], "perf": ["dram-0", "psys"]}
    assert not_needed(found)["perf"] == "not needed: cpu-0 is measured by rapl"
    assert set(found.sensors[1].read(0)) == {"dram-0", "psys"}


def test_one_socket_is_not_counted_again_by_its_dies(places: Places, register: Register) -> None:
    register({"rapl": showing("cpu-0-die-0", "cpu-0-die-1"), "perf": showing("cpu-0"), "hwmon": showing("cpu-1")})

    assert shown(discover(places, only=["rapl", "perf", "hwmon"])) == {
        "rapl": ["cpu-0-die-0", "cpu-0-die-1"],
        "hwmon": ["cpu-1"],
    }


def test_a_machine_measured_from_outside_and_its_parts_are_both_shown(places: Places, register: Register) -> None:
    register({"ipmi": showing("machine"), "hwmon": showing("machine", "machine-1"), "rapl": showing("cpu-0")})

    assert shown(discover(places, only=["ipmi", "hwmon", "rapl"])) == {
        "rapl": ["cpu-0"],
        "hwmon": ["machine", "machine-1"],
    }


class OneByOne(SimulatedSensor):
    """A sensor whose domains can be read one by one; it remembers which were."""

    def read_domain(self, name: str, now_ns: int) -> int | SensorError:
        asked.append(name)
        return super().read(now_ns)[name]


asked: list[str] = []


def test_what_is_left_out_of_a_sensor_is_not_even_read_where_that_can_be(places: Places, register: Register) -> None:
    register({"rapl": showing("cpu-0"), "perf": lambda places: OneByOne.constant({"cpu-0": 10, "dram-0": 2})})
    asked.clear()

    found = discover(places, only=["rapl", "perf"])
    rapl, perf = found.sensors
    found.close()

    assert isinstance(perf, PartialSensor)
    assert not isinstance(rapl, PartialSensor)
    assert perf.read(10**9) == {"dram-0": 2_000_000}
    assert perf.read_domain("dram-0", 10**9) == 2_000_000
    assert asked == ["dram-0", "dram-0"]


def test_of_two_models_one_is_used_and_a_plug_in_goes_first(places: Places, register: Register) -> None:
    register({"zzz-model": showing("cpu-0", modelled=True)})

    found = discover(places)

    assert found.points == ("zzz-model", "dram-size")
    assert not_needed(found) == {"cpu-load": "not needed: cpu is modelled by zzz-model"}


# --- GPUs -----------------------------------------------------------------------------------------


@pytest.fixture
def radeons(places: Places) -> HwmonTree:
    """Two cards of AMD, one of Intel, and a processor with a GPU in it, as hwmon shows them."""
    tree = HwmonTree(places.sysfs)
    for bus in ("03", "0a"):
        tree.chip("amdgpu", {"power1_average": 180_000_000}, device=f"pci/0000:{bus}:00.0", number="0x744c")
    apu: dict[str, str | int] = {"power1_average": 30_000_000, "in1_label": "vddnb"}
    tree.chip("amdgpu", apu, device="pci/0000:00:08.0", number="0x15bf")
    tree.chip("i915", {"energy1_input": 5_000_000}, device="pci/0000:04:00.0", number="0x56a0")
    return tree


def amdsmi(*cards: FakeCard) -> Factory:
    def made(places: Places) -> AmdSmiSensor:
        (places.sysfs / "module" / "amdgpu").mkdir(parents=True)
        return AmdSmiSensor(places.sysfs, {}, importer=lambda name: FakeAmdSmi(list(cards)))

    return made


RADEON = FakeCard(180, model="AMD Radeon RX 7900 XTX", chip="gfx1100")
APU = FakeCard(30, model="AMD Radeon Graphics", chip="gfx1150", metrics_format=3)
PART = FakeCard(shown="N/A")


@pytest.mark.parametrize(
    ("cards", "names"),
    [
        ((RADEON, RADEON), ["gpu-amd-0", "gpu-amd-1"]),
        ((APU, RADEON, RADEON), ["gpu-amd-1", "gpu-amd-2"]),
        ((FakeCard(), PART, PART, FakeCard(), PART), ["gpu-amd-0", "gpu-amd-3"]),
    ],
    ids=["as hwmon counts", "behind an APU", "with partitions"],
)
def test_a_card_that_amdsmi_and_hwmon_show_is_counted_once_however_they_number_it(
    places: Places, register: Register, radeons: HwmonTree, cards: tuple[FakeCard, ...], names: list[str]
) -> None:
    register({"amd": amdsmi(*(replace(card, handle=object()) for card in cards))})

    found = discover(places)

    assert shown(found) == {
        "amd": names,
        "hwmon": ["apu-0", "gpu-i915-0"],
        "cpu-load": ["cpu"],
        "dram-size": ["dram"],
    }
    assert not_needed(found) == {"hwmon": "not needed: gpu-amd is measured by amd"}
    assert set(found.sensors[1].read(0)) == {"apu-0", "gpu-i915-0"}


def test_without_amdsmi_hwmon_shows_the_cards(places: Places, radeons: HwmonTree) -> None:
    found = discover(places)

    assert shown(found)["hwmon"] == ["apu-0", "gpu-amd-0", "gpu-amd-1", "gpu-i915-0"]
    assert "not loaded" in reasons(found)["amd"]


def test_gpus_of_two_makers_in_one_machine_are_both_counted(
    places: Places, register: Register, fake_nvml: FakeNvml
) -> None:
    fake_nvml.install(100, 200)
    register({"amd": amdsmi(replace(RADEON, handle=object()))})

    found = discover(places)

    assert shown(found)["nvml"] == ["gpu-0", "gpu-1"]
    assert shown(found)["amd"] == ["gpu-amd-0"]
    assert not not_needed(found)


# --- What goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("joulemark_nobody_has_this:sensor", "broken plug-in: ModuleNotFoundError"),
        ("tests.unit.test_discovery:nobody", "broken plug-in: AttributeError"),
        ("tests.unit.test_discovery:not_callable_without_reason", "a mistake of its author"),
        ("tests.unit.test_discovery:gives_nothing", "gives no Sensor"),
        ("tests.unit.test_discovery:needs_an_extra", "pip install 'joulemark[amd]'"),
        ("tests.unit.test_discovery", "gives no Sensor"),
    ],
)
@pytest.mark.parametrize("deadline_s", [None, 10])
def test_a_broken_plug_in_is_named_and_skipped(
    places: Places, register: Register, value: str, reason: str, deadline_s: float | None
) -> None:
    register({"aaa-broken": value})

    found = discover(places, deadline_s=deadline_s)

    assert reason in reasons(found)["aaa-broken"]
    assert used(found) == MODELS


def test_a_sensor_that_hangs_is_named_while_the_others_are_used_and_closed_if_it_ever_comes(
    places: Places, register: Register
) -> None:
    released, closed = threading.Event(), threading.Event()

    class Late(SimulatedSensor):
        def close(self) -> None:
            closed.set()

    def hanging(places: Places) -> Sensor:
        released.wait(60)
        return Late([])

    register({"nvml": hanging, "rapl": showing("cpu-0")})

    found = discover(places, only=["nvml", "rapl", "dram-size"], deadline_s=3 * discovery.STALLED_S)

    assert shown(found) == {"rapl": ["cpu-0"], "dram-size": ["dram"]}
    assert reasons(found)["nvml"] == f"it did not answer within {3 * discovery.STALLED_S:g} s"
    released.set()
    assert closed.wait(10)
    assert "nvml" not in found.points


def test_only_the_sensors_asked_for_are_tried(places: Places) -> None:
    found = discover(places, only=["dram-size"])

    assert used(found) == {"dram size model 1"}
    assert not found.refused


def test_a_sensor_that_is_not_needed_is_closed(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    from joulemark.sensors.load_models import CpuLoadModel

    PowercapTree(places.sysfs)
    closed = []
    monkeypatch.setattr(CpuLoadModel, "close", lambda self: closed.append(self.name))

    discover(places)

    assert closed == ["cpu load model 1"]


# --- Meters that the user names, and single sensors -----------------------------------------------


def test_a_meter_that_the_user_names_goes_before_all_that_is_found(
    places: Places, register: Register, plug: Device
) -> None:
    register({"ipmi": showing("machine")})
    url = f"shelly://{plug.host}"

    found = discover(places, urls=[url])

    assert found.points == (url, "cpu-load", "dram-size")
    assert found.sensors[0].read(0) == {"machine": 123_400_000}
    assert not_needed(found) == {"ipmi": "not needed: machine is measured by shelly"}


@pytest.mark.parametrize(
    ("url", "kind", "reason"),
    [
        ("redfish://root:calvin@bmc-7/redfish/v1/Chassis/1", "redfish", "JOULEMARK_REDFISH_PASSWORD"),
        ("shelly://bmc-7/status", "shelly", "nothing may stand behind the host"),
        ("bmc-7", "wall meter", "Unknown kind of wall meter"),
    ],
)
def test_no_reason_and_so_no_record_holds_an_address_or_a_password(
    places: Places, url: str, kind: str, reason: str
) -> None:
    found = discover(places, urls=[url])

    assert reason in reasons(found)[kind]
    assert "bmc-7" not in str(found.refused)
    assert "calvin" not in str(found.refused)
    assert used(found) == MODELS


def test_one_sensor_is_made_again_by_the_name_that_discovery_gave_it(places: Places, plug: Device) -> None:
    assert discovery.made("dram-size", places).name == "dram size model 1"
    assert discovery.made(f"shelly://{plug.host}", places).read(0) == {"machine": 123_400_000}
    with pytest.raises(SensorError, match="no sensor 'nobody'"):
        discovery.made("nobody", places)
    with pytest.raises(SensorError, match="no RAPL zones"):
        discovery.made("rapl", places)


# --- Entry points ---------------------------------------------------------------------------------


def by_importlib(group: str) -> set[tuple[str, str]]:
    return {(point.name, point.value) for point in importlib.metadata.entry_points(group=group)}


def by_us(group: str) -> set[tuple[str, str]]:
    return {(point.name, point.value) for point in entry_points(group)}


def install(site: Path, distribution: str, text: str | bytes | None) -> None:
    """Lay a distribution's metadata into a folder."""
    folder = site / distribution
    folder.mkdir(parents=True)
    name, _, version = distribution.removesuffix(".dist-info").removesuffix(".egg-info").partition("-")
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if text is not None:
        (folder / "entry_points.txt").write_bytes(text if isinstance(text, bytes) else text.encode())


def test_the_entry_points_of_this_environment_are_those_of_importlib() -> None:
    for group in ("joulemark.sensors", "console_scripts", "pytest11", "nobody.has.this"):
        assert by_us(group) == by_importlib(group)
    assert by_us("joulemark.sensors")


def test_metadata_of_every_shape_is_read_as_importlib_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    install(first, "plain-1.0.dist-info", "[some.group]\na = plain:A\nb=plain.inner : B.c [extra]\n")
    install(first, "many_groups-2.dist-info", "[other]\nx = many:X\n\n# [some.group]\n[some.group]\n  c = many:C\n")
    install(first, "old.egg-info", "[some.group]\nd = old:D\n")
    install(first, "without-1.0.dist-info", None)
    install(first, "empty-1.0.dist-info", "")
    # Once more, further behind: what is imported is the first one.
    install(second, "Many.Groups-1.dist-info", "[some.group]\nc = many:OLD\ngone = many:GONE\n")
    install(second, "without-0.9.dist-info", "[some.group]\nlost = without:LOST\n")
    install(second, "only_here-1.dist-info", "[some.group]\ne = only_here\n")
    (second / "no_folder-1.dist-info").write_text("a file")
    monkeypatch.setattr(sys, "path", [str(first), str(tmp_path / "nowhere"), str(second), str(first)])

    assert by_us("some.group") == by_importlib("some.group")
    assert dict(by_us("some.group")).keys() == {"a", "b", "c", "d", "e"}
    assert dict(by_us("some.group"))["c"] == "many:C"
    assert by_us("other") == by_importlib("other") == {("x", "many:X")}


def test_metadata_that_is_broken_takes_no_other_with_it(tmp_path: Path) -> None:
    install(tmp_path, "bytes-1.dist-info", b"[some.group]\na = \xff\xfe\n")
    install(
        tmp_path, "words-1.dist-info", "[some.group]\nthis is no entry\n; x = words:COMMENT\nb = words:B\n[cut off\n"
    )
    install(tmp_path, "right-1.dist-info", "[some.group]\nc = right:C\n")
    (tmp_path / "folder-1.dist-info" / "entry_points.txt").mkdir(parents=True)

    found = entry_points("some.group", [str(tmp_path), str(tmp_path / "right-1.dist-info" / "METADATA")])

    assert {(point.name, point.value) for point in found} == {("b", "words:B"), ("c", "right:C")}


def test_of_two_entry_points_of_one_name_the_first_on_the_path_counts(tmp_path: Path) -> None:
    for number, distribution in enumerate(("one", "two")):
        install(tmp_path / str(number), f"{distribution}-1.dist-info", f"[some.group]\na = {distribution}:A\n")

    assert entry_points("some.group", [str(tmp_path / "1"), str(tmp_path / "0")]) == (Point("a", "two:A"),)


@pytest.mark.parametrize("value", ["os.path:join", "os.path : join [extra]", "os:path.join"])
def test_an_entry_point_is_loaded_as_importlib_loads_it(value: str) -> None:
    assert Point("a", value).load() is importlib.metadata.EntryPoint("a", value, "some.group").load()


def test_an_entry_point_may_be_a_module_or_nothing_that_is_there() -> None:
    assert Point("a", "os.path [extra]").load() is sys.modules["os.path"]
    with pytest.raises(ModuleNotFoundError):
        Point("a", "joulemark_nobody_has_this:sensor").load()
    with pytest.raises(AttributeError):
        Point("a", "os.path:nobody").load()


# --- The machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "virtual"), [("fpu vme hypervisor lahf_lm", True), ("fpu vme", False)])
def test_a_virtual_machine_says_that_it_is_one(tmp_path: Path, flags: str, virtual: bool) -> None:
    assert describe_machine(Procfs(tmp_path, flags=flags).root).virtual is virtual


def test_the_machine_is_described_from_its_own_files(tmp_path: Path) -> None:
    machine = describe_machine(Procfs(tmp_path, model=63, memory_kib=1_000_000).root, gpus=("A GPU",))

    assert machine.processor == "AMD EPYC or other, model 63"
    assert machine.memory_bytes == 1_024_000_000
    assert machine.gpus == ("A GPU",)


def test_no_record_names_the_host_unless_it_was_asked_to(monkeypatch: pytest.MonkeyPatch, places: Places) -> None:
    monkeypatch.setattr(platform, "node", lambda: "the-secret-host")
    with Meter(discover(places).sensors) as meter, meter.measure("work") as window:
        pass

    silent = msgspec.json.encode(window.measurement(command=["train", "--key", "hidden"]))
    asked = msgspec.json.encode(window.measurement(identify=True, command=["train", "--key", "hidden"]))

    assert b"the-secret-host" not in silent
    assert b"hidden" not in silent
    assert b"the-secret-host" in asked
    assert b"hidden" in asked
