"""Generated readings of a push-pull valve amplifier: healthy, unstable, overdriven, about to fail.

Nobody has published measurements of failing valve amplifiers, so this data is generated, and says so.
A small physical model makes it, rather than one bell curve per class: wear, drive, mains and fault modes are drawn,
and the five readings follow from them together, as they do in an amplifier.
Its constants are engineering judgement, tuned to data sheets (EL34, ECC83) and to a published amplifier
(Dynaco Stereo 70); they are not fitted to measurements.
Do not take a model trained on it to a real amplifier: collect rows from that one with `ampedge collect`.

`failsoon` has three different causes on purpose (gas or a leaking capacitor, an exhausted cathode, the heater).
Its mean plate voltage nearly equals that of `healthy`, so that a rule on means cannot find it, and the classes
overlap as real faults do: no honest model scores 1.

Two profiles: `tutorial`, in which the row of the published tutorial is healthy, and `el34_pp`, one real amplifier.
The same arguments give the same file with every NumPy: its `RandomState` streams are frozen.

    python -m ampedge.amplifier more.csv --rows 4000 --seed 7 --profile el34_pp --balanced
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ampedge import samples
from ampedge.datamap import DataMap, Tag
from ampedge.files import replaced_file
from ampedge.sample_rows import LABEL, csv_text, published_form

LABELS = ("healthy", "unstable", "overdriven", "failsoon")
REALISTIC = {"healthy": 0.70, "unstable": 0.14, "overdriven": 0.10, "failsoon": 0.06}
BALANCED = dict.fromkeys(LABELS, 0.25)

DECIMALS = {"plate_voltage": 2, "bias_voltage": 3, "heater_current": 4, "output_thd": 3, "impedance": 3}
"""Resolution of each reading: 0.01 V, 1 mV, 0.1 mA, 0.001 %, 1 milliohm; also the columns in order."""

_WEAR = {"healthy": (2, 9), "unstable": (3, 5), "overdriven": (2, 7), "failsoon": (8, 3)}
_GAS, _CATHODE, _HEATER = range(3)
_MODES = (0.45, 0.35, 0.20)
_TRANSFORMER_FAULT = 0.25

PUBLISHED_ROW = (
    "427.335513967164",
    "-12.072760045821497",
    "0.2876259585530916",
    "0.8945856193036692",
    "7.502195010331243",
    "healthy",
)
"""The one row that the tutorial shows, in full; healthy in the profile `tutorial`."""

DATA_SEED = 42
SAMPLES_SEED = 43
SAMPLE_ROWS = 60


@dataclass(frozen=True, slots=True)
class Profile:
    """The working point of one amplifier; all other constants hold for both."""

    name: str
    plate_v: float
    bias_v: float
    heater_a: float
    thd_percent: float
    gain_per_v: float  # transconductance over plate current at idle
    sag_v: float  # the supply's sag at idle
    blocking_v: float  # bias shift when the grids draw current
    leak_v: tuple[float, float]  # bias shift by gas or a leaking coupling capacitor
    load_ohm: float = 8.0


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("tutorial", 428, -12.3, 0.300, 0.75, 0.20, 26, 5, (1.5, 5.5)),
        Profile("el34_pp", 415, -34, 1.50, 0.45, 0.10, 30, 10, (3, 12)),
    )
}


@dataclass(frozen=True, slots=True)
class Readings:
    """Generated rows: `values` of shape (rows, 5), columns as in `DECIMALS`, and a label for each row."""

    values: NDArray[np.float64]
    labels: tuple[str, ...]

    def cells(self) -> list[list[str]]:
        """Each row as text: the values in their resolution, then the label."""
        places = tuple(DECIMALS.values())
        return [
            [*(f"{value:.{n}f}" for value, n in zip(row, places, strict=True)), label]
            for row, label in zip(self.values, self.labels, strict=True)
        ]


def datamap(profile: str = "tutorial") -> DataMap:
    """The published data map, with the physical limits: a reading outside is a sensor fault, not a class."""
    return DataMap(
        (
            Tag("plate_voltage", 0, unit="V", valid=(0, 800)),
            Tag("bias_voltage", 2, unit="V", valid=(-100, 1)),
            Tag("heater_current", 4, unit="A", valid=(0, 2 * PROFILES[profile].heater_a)),
            Tag("output_thd", 6, unit="%", valid=(0, 100)),
            Tag("impedance", 8, unit="ohm", valid=(0.5, 60)),
        )
    )


def generate(
    rows: int, *, profile: str = "tutorial", priors: Mapping[str, float] = REALISTIC, seed: int = DATA_SEED
) -> Readings:
    """Draw `rows` readings; each label gets its share of `priors`, to the row, in random order.

    Raises ValueError for a profile or label that does not exist and for shares that do not add up to something.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    amp = PROFILES[profile]
    draw = np.random.RandomState(seed)
    labels = draw.permutation(np.repeat(LABELS, _counts(rows, priors)))
    unstable, overdriven, failing = (labels == name for name in LABELS[1:])

    # What cannot be measured: mains, wear, drive, the way it fails.
    mains = np.clip(draw.normal(0, 0.018, rows), -0.06, 0.06)
    wear = draw.beta(*np.array([_WEAR[label] for label in labels], dtype=float).reshape(rows, 2).T)
    drive = np.where(overdriven, draw.uniform(1.05, 1.65, rows), draw.uniform(0.15, 0.95, rows))
    over = np.maximum(0, drive - 1)
    mode = np.where(failing, draw.choice(3, rows, p=_MODES), -1)
    transformer = failing & (draw.uniform(size=rows) < _TRANSFORMER_FAULT)

    # Bias: less negative by gas or a leaking capacitor, wandering when unstable, pushed down when the grids block.
    leak = np.where(mode == _GAS, draw.uniform(*amp.leak_v, rows), 0)
    leak += np.where(unstable, np.abs(draw.normal(0, 0.1 * amp.leak_v[1], rows)), 0)
    wander = draw.normal(0, 1, rows) * np.where(unstable, 0.11, 0.02) * abs(amp.bias_v)
    shift = leak + wander - amp.blocking_v * over * draw.uniform(0.5, 1.2, rows)
    bias = amp.bias_v * (1 + mains) + shift

    # Plate: the supply sags with the current that bias, emission and drive let flow.
    emission = 1 - np.where(mode == _CATHODE, 0.75, 0.25) * wear**1.5
    current = emission * np.clip(1 + amp.gain_per_v * (shift + 0.8 * amp.blocking_v * over), 0.05, 4)
    current += 0.55 * np.maximum(0, drive - 0.6)
    plate = amp.plate_v * (1 + mains) - amp.sag_v * (current - 1.03) + draw.normal(0, 1.2, rows)
    plate += np.where(unstable, draw.normal(0, 12, rows), 0)

    # Heater: a filament's current follows about the square root of its voltage.
    part = 1 + 0.55 * mains + draw.normal(0, 0.022, rows) - 0.06 * wear**2 - 0.02 * over
    part -= np.where(mode == _HEATER, draw.uniform(0.08, 0.22, rows), 0)
    part -= np.where(mode == _CATHODE, draw.uniform(0, 0.05, rows), 0)
    heater = amp.heater_a * part * (1 + draw.normal(0, 0.004, rows))

    # Load: overdriven often because it is too low; a transformer fault is a shorted winding or a bad joint.
    load = amp.load_ohm * (1 + draw.normal(-0.03, 0.055, rows) + 0.10 * over)
    too_low = overdriven & (draw.uniform(size=rows) < 0.30)
    load = np.where(too_low, draw.uniform(3.6, 5.6, rows), load)
    load *= np.exp(np.where(unstable, draw.normal(0, 0.12, rows), 0))
    fault = np.where(draw.uniform(size=rows) < 0.5, draw.uniform(2.5, 5.2, rows), draw.uniform(11, 22, rows))
    load = np.where(transformer, fault, load)

    # Distortion: grows with drive, wear and a wrong bias; clipping adds most.
    thd = amp.thd_percent * np.exp(draw.normal(0, 0.28, rows)) * (1 + 0.6 * drive**2) * (1 + 1.2 * wear)
    thd *= np.where(overdriven, 1, (1 + 1.1 * np.abs(shift) / (0.18 * abs(amp.bias_v))) ** 0.8)
    thd += 11 * over**0.9 * draw.uniform(0.7, 1.3, rows)
    thd += np.where(unstable, draw.gamma(2, 0.45, rows), 0) + np.where(failing, draw.gamma(2.5, 0.9, rows), 0)
    thd += np.where(drive > 0.5, 1.5 * np.abs(np.log(load / amp.load_ohm)), 0)
    thd = np.clip(thd * (1 + draw.normal(0, 0.03, rows)), 0.02, 60)

    columns = (plate, bias, heater, thd, load)
    rounded = [np.round(column, n) for column, n in zip(columns, DECIMALS.values(), strict=True)]
    return Readings(np.column_stack(rounded), tuple(str(label) for label in labels))


def _write(path: Path, text: str) -> None:
    with replaced_file(path) as made:
        made.write_text(text, "utf-8", newline="\n")


def _counts(rows: int, priors: Mapping[str, float]) -> list[int]:
    """How many rows each label gets: whole shares first, what is left to the largest remainders."""
    total = sum(priors.values())
    if rows < 1 or not set(priors) <= set(LABELS) or min(priors.values(), default=-1) < 0 or total <= 0:
        raise ValueError(f"rows = {rows}, priors = {dict(priors)}: one row or more, shares of {', '.join(LABELS)}")
    shares = [rows * priors.get(label, 0) / total for label in LABELS]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(LABELS)), key=lambda i: counts[i] - shares[i])
    for i in by_remainder[: rows - sum(counts)]:
        counts[i] += 1
    return counts


def write_data(path: Path, readings: Readings) -> None:
    """Write a training table: the five readings, then `status`."""
    _write(path, csv_text([*DECIMALS, LABEL], readings.cells()))


def write_examples(directory: Path) -> None:
    """Write the two tables that ampedge ships.

    The samples are the published row and then rows in the realistic shares, drawn with a seed of their own;
    none was chosen or left out for what any model says of it.
    """
    write_data(directory / samples.DATA, generate(4000))
    drawn = generate(SAMPLE_ROWS - 1, seed=SAMPLES_SEED)
    rows = [PUBLISHED_ROW, *drawn.cells()]
    _write(directory / samples.SAMPLES, csv_text(*published_form(datamap(), rows, label=LABEL)))


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m ampedge.amplifier`."""
    parser = argparse.ArgumentParser(
        prog="python -m ampedge.amplifier", description="Generate readings of a valve amplifier as a training table."
    )
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT.csv", help="The table to write.")
    parser.add_argument("--rows", type=int, default=4000, help="How many rows (%(default)s).")
    parser.add_argument("--seed", type=int, default=DATA_SEED, help="The same seed gives the same rows (%(default)s).")
    parser.add_argument("--profile", choices=PROFILES, default="tutorial", help="Which amplifier (%(default)s).")
    shares = parser.add_mutually_exclusive_group()
    shares.add_argument("--balanced", action="store_true", help="Give each label the same share.")
    shares.add_argument(
        "--priors", type=float, nargs=4, metavar="SHARE", help=f"The shares of {', '.join(LABELS)} (70 14 10 6)."
    )
    parser.add_argument("--examples", type=Path, metavar="DIR", help="Write the two tables that ampedge ships.")
    given = parser.parse_args(arguments)
    if (given.out is None) == (given.examples is None):
        parser.error("give OUT.csv or --examples DIR")
    if given.examples is not None:
        write_examples(given.examples)
        return
    priors = BALANCED if given.balanced else REALISTIC
    if given.priors is not None:
        priors = dict(zip(LABELS, given.priors, strict=True))
    try:
        write_data(given.out, generate(given.rows, profile=given.profile, priors=priors, seed=given.seed))
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
