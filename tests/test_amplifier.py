"""The amplifier generator: its equations worked by hand, its shares, its limits, and the bytes that ship."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ampedge import amplifier, samples
from ampedge.amplifier import BALANCED, DECIMALS, LABELS, PROFILES, PUBLISHED_ROW, datamap, generate
from ampedge.modbus.codec import encode_row

EXAMPLES = Path(__file__).parent.parent / "examples"


class Middling:
    """Stands in for RandomState: every draw is the middle of its distribution, every choice is `mode`."""

    def __init__(self, mode: int) -> None:
        self.mode = mode

    def permutation(self, labels):
        return labels

    def normal(self, mean, _, rows):
        return np.full(rows, float(mean))

    def uniform(self, low=0.0, high=1.0, size=1):
        return np.full(size, (low + high) / 2)

    def beta(self, a, b):
        return a / (a + b)

    def gamma(self, shape, scale, rows):
        return np.full(rows, shape * scale)

    def choice(self, _, rows, p):
        assert sum(p) == pytest.approx(1)
        return np.full(rows, self.mode)


# Worked by hand from the equations with every draw at its mean (so no transformer fault and no low load).
# plate V, bias V, heater A, THD %, load ohm
HAND_WORKED = [
    # w = 2/11, d = 0.55: emission 0.98062, current 0.98062; THD 0.75 x 1.1815 x 1.21818 + 1.5 |ln 0.97|
    ("tutorial", "healthy", 0, (429.28, -12.300, 0.2994, 1.125, 7.760)),
    # w = 3/8: emission 0.94259; THD 0.75 x 1.1815 x 1.45 + 0.9 + 1.5 |ln 0.97|
    ("tutorial", "unstable", 0, (430.27, -12.300, 0.2975, 2.231, 7.760)),
    # w = 2/9, d = 1.35: shift -5 x 0.35 x 0.85 = -1.4875, current 0.97381 x 0.9825 + 0.4125 = 1.36927;
    # load 8 x (0.97 + 0.035); THD 0.75 x 2.0935 x 1.26667 + 11 x 0.35^0.9 + 1.5 ln 1.005
    ("tutorial", "overdriven", 0, (419.18, -13.7875, 0.2970, 6.272, 8.040)),
    # w = 8/11, gas: leak 3.5 V, emission 0.84494, current 0.84494 x 1.7 = 1.43640;
    # THD 0.75 x 1.1815 x 1.87273 x (1 + 1.1 x 3.5 / 2.214)^0.8 + 2.25 + 1.5 |ln 0.97|
    ("tutorial", "failsoon", 0, (417.43, -8.800, 0.2905, 6.011, 7.760)),
    # exhausted cathode: emission 1 - 0.75 x 0.62023 = 0.53483; heater 0.3 (1 - 0.06 x 0.52893 - 0.025)
    ("tutorial", "failsoon", 1, (440.87, -12.300, 0.2830, 3.955, 7.760)),
    # heater: 0.3 (1 - 0.06 x 0.52893 - 0.15); emission 0.84494
    ("tutorial", "failsoon", 2, (432.81, -12.300, 0.2455, 3.955, 7.760)),
    # the other amplifier, gas: leak 7.5 V, current 0.84494 x 1.75 = 1.47865; THD 0.45 ...(1 + 1.1 x 7.5 / 6.12)^0.8
    ("el34_pp", "failsoon", 0, (401.54, -26.500, 1.4524, 4.267, 7.760)),
]


@pytest.mark.parametrize(("profile", "label", "mode", "expected"), HAND_WORKED)
def test_equations(monkeypatch, profile, label, mode, expected):
    monkeypatch.setattr(np.random, "RandomState", lambda _: Middling(mode))
    made = generate(1, profile=profile, priors={label: 1})
    assert made.labels == (label,)
    for name, value, wanted in zip(DECIMALS, made.values[0], expected, strict=True):
        assert value == pytest.approx(wanted, abs=0.6 * 10.0 ** -DECIMALS[name]), name


def test_examples_are_the_generators_bytes(tmp_path):
    amplifier.main(["--examples", str(tmp_path)])
    for name in (samples.DATA, samples.SAMPLES):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes(), name


def test_shipped_data():
    with (EXAMPLES / samples.DATA).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["plate_voltage", "bias_voltage", "heater_current", "output_thd", "impedance", "status"]
    assert Counter(row["status"] for row in rows) == {
        "healthy": 2800,
        "unstable": 560,
        "overdriven": 400,
        "failsoon": 240,
    }


def test_shipped_samples_begin_with_the_published_row():
    with (EXAMPLES / samples.SAMPLES).open(newline="") as file:
        header, first, *rest = csv.reader(file)
    assert header[:3] == ["status", "plate_voltage (float)", "plate_voltage [reg0, reg1]"]
    assert header[-1] == "impedance [reg8, reg9]"
    assert first == [
        *("healthy", "427.335513967164", "(17365, 43762)", "-12.072760045821497", "(49473, 10758)"),
        *("0.2876259585530916", "(16019, 17334)", "0.8945856193036692", "(16229, 912)"),
        *("7.502195010331243", "(16624, 4603)"),
    ]
    assert len(rest) >= 39
    assert {row[0] for row in rest} == set(LABELS)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_reading_is_physical_and_fits_its_registers(profile):
    made = generate(20_000, profile=profile, priors=BALANCED, seed=5)
    for column, tag in zip(made.values.T, datamap(profile).tags, strict=True):
        low, high = tag.valid
        assert low < column.min() < column.max() < high, tag.name
    encode_row(datamap(profile).tags, made.values[0])


def test_a_rule_on_mean_plate_voltage_cannot_find_failsoon():
    made = generate(40_000, priors=BALANCED, seed=6)
    plate = {label: made.values[np.array(made.labels) == label, 0].mean() for label in LABELS}
    assert abs(plate["failsoon"] - plate["healthy"]) < 1.0
    assert abs(plate["overdriven"] - plate["healthy"]) > 5.0


def test_healthy_sits_at_the_working_point_of_its_profile():
    for profile in PROFILES.values():
        made = generate(5_000, profile=profile.name, priors={"healthy": 1}, seed=7)
        plate, bias, heater, _, load = made.values.mean(axis=0)
        assert plate == pytest.approx(profile.plate_v, rel=0.005)
        assert bias == pytest.approx(profile.bias_v, rel=0.005)
        assert heater == pytest.approx(profile.heater_a, rel=0.01)
        assert load == pytest.approx(0.97 * profile.load_ohm, rel=0.005)


def test_the_published_row_is_nearest_to_healthy():
    made = generate(8_000, priors=BALANCED, seed=8)
    labels = np.array(made.labels)
    row = np.array([float(cell) for cell in PUBLISHED_ROW[:-1]])
    healthy = made.values[labels == "healthy"]
    distance = np.abs(row - healthy.mean(axis=0)) / healthy.std(axis=0)
    assert (distance < 2).all()


def test_the_seed_decides():
    one, same, other = generate(50, seed=1), generate(50, seed=1), generate(50, seed=2)
    assert (one.values == same.values).all()
    assert one.labels == same.labels
    assert (one.values != other.values).any()


@pytest.mark.parametrize(
    ("rows", "priors", "counts"),
    [
        (100, amplifier.REALISTIC, {"healthy": 70, "unstable": 14, "overdriven": 10, "failsoon": 6}),
        (10, BALANCED, {"healthy": 3, "unstable": 3, "overdriven": 2, "failsoon": 2}),
        (7, {"failsoon": 2, "healthy": 5}, {"healthy": 5, "failsoon": 2}),
        (1, amplifier.REALISTIC, {"healthy": 1}),
    ],
)
def test_shares_hold_to_the_row(rows, priors, counts):
    assert Counter(generate(rows, priors=priors).labels) == counts


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 0},
        {"rows": 10, "profile": "kt88"},
        {"rows": 10, "priors": {"broken": 1}},
        {"rows": 10, "priors": {"healthy": -1, "failsoon": 2}},
        {"rows": 10, "priors": {"healthy": 0}},
        {"rows": 10, "priors": {}},
    ],
)
def test_what_cannot_be_generated_is_refused(wrong):
    with pytest.raises(ValueError, match=r"rows|profile"):
        generate(**wrong)


def test_module_writes_a_table(tmp_path):
    out = tmp_path / "more.csv"
    amplifier.main([str(out), "--rows", "40", "--seed", "9", "--profile", "el34_pp", "--balanced"])
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [*DECIMALS, "status"]
    assert Counter(row[-1] for row in rows) == dict.fromkeys(LABELS, 10)
    expected = generate(40, profile="el34_pp", priors=BALANCED, seed=9)
    assert [[float(cell) for cell in row[:-1]] for row in rows] == expected.values.tolist()

    amplifier.main([str(out), "--rows", "8", "--priors", "0", "1", "0", "3"])
    with out.open(newline="") as file:
        assert Counter(row["status"] for row in csv.DictReader(file)) == {"unstable": 2, "failsoon": 6}


@pytest.mark.parametrize("arguments", [[], ["x.csv", "--rows", "0"], ["x.csv", "--seed", "-1"], ["no/dir/x.csv"]])
def test_module_refuses_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no").write_text("a file, no folder")
    with pytest.raises(SystemExit) as stopped:
        amplifier.main(arguments)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "x.csv").exists()
