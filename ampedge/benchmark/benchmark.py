"""All candidates, one after the other: what each costs and how well it judges the held-out rows."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ampedge.benchmark import process
from ampedge.benchmark.candidates import CANDIDATES, Candidate
from ampedge.errors import AmpedgeError, UsageError, missing_extra
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.quiet import quiet
from ampedge.training.export.exporter import comparison_rows
from ampedge.training.fitting.thresholds import said_by
from ampedge.training.metrics import confusion, macro_f1
from ampedge.training.rows.labelled import held_out_rows

Track = Callable[[Iterable[Candidate]], Iterable[Candidate]]
_STARTS = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table; what cannot be known is None.

    `different` counts the rows of another class than the bundle says; `one_us` is the time of a row as serve asks
    for it, `batch_us` of one among a thousand; `memory_bytes` is beyond an empty Python's, but for a C program;
    `start_ms` is from the start of a process to its first answer.
    """

    name: str
    accuracy: float | None
    macro_f1: float | None
    different: int
    one_us: float
    batch_us: float | None
    memory_bytes: int | None
    size_bytes: int
    start_ms: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The lines, and for each that is missing the reason."""

    model: dict[str, str]
    judged_on: str
    rows: int
    measured: list[Measured]
    missing: dict[str, str]

    def document(self) -> dict[str, Any]:
        """The benchmark as JSON has it."""
        return asdict(self)


def chosen(only: Sequence[str]) -> list[Candidate]:
    """The candidates of these names, all where none is given; raises UsageError for one that is not here."""
    names = [candidate.name for candidate in CANDIDATES]
    for name in only:
        if name not in names:
            raise UsageError(f"--only {name}: there is no such line.", f"There are {', '.join(names)}.")
    if not only:
        return list(CANDIDATES)
    found = [candidate for candidate in CANDIDATES if candidate.name in only]
    for candidate in found:
        if candidate.missing():
            raise missing_extra(f"--only {candidate.name}", candidate.extra)
    return found


def benchmark(
    bundle: Bundle, candidates: Iterable[Candidate], *, insist: bool = False, track: Track = iter
) -> Benchmark:
    """Measure each candidate in fresh processes; one that cannot be measured says why.

    With `insist` the error of such a one is raised.
    """
    values, judged_on = comparison_rows(bundle)
    held_out = held_out_rows(bundle)
    truth = None if held_out is None else [row.label for row in held_out.rows]
    measured, missing = [], {}
    with tempfile.TemporaryDirectory() as place:
        bench = _Bench(bundle, values, truth, Path(place))
        for candidate in track(candidates):
            why = candidate.missing()
            try:
                if why is None:
                    measured.append(bench.measured(candidate))
            except AmpedgeError as error:
                if insist:
                    raise
                why = f"{error.problem} {error.remedy}".strip()
            if why is not None:
                missing[candidate.name] = why
    model = {"name": bundle.manifest.name, "version": bundle.manifest.version, "path": str(bundle.path)}
    return Benchmark(model, judged_on, len(values), measured, missing)


class _Bench:
    """The rows on the disk, and what an empty Python holds."""

    def __init__(self, bundle: Bundle, values: Matrix, truth: list[str] | None, place: Path) -> None:
        self._bundle = bundle
        self._truth = truth
        self._place = place
        self._classes = said_by(bundle, bundle.probabilities(values))
        self._columns = values.shape[1]
        self._rows = place / "rows"
        values.astype(np.float64).tofile(self._rows)
        self._empty = process.run(process.EMPTY).resident or 0

    def measured(self, candidate: Candidate) -> Measured:
        """Raises AmpedgeError where it cannot be made or does not run."""
        directory, out = self._place / candidate.name.replace("/", "-"), self._place / "probabilities"
        directory.mkdir()
        with quiet():
            made = candidate.make(self._bundle, directory)
        command = [*candidate.command(made), self._rows, str(self._columns), out]
        runs = [process.run(command) for _ in range(_STARTS)]
        last = runs[-1]
        said = said_by(self._bundle, np.fromfile(out).reshape(len(self._classes), -1))
        return Measured(
            name=candidate.name,
            **self._scores(said),
            different=int(np.count_nonzero(said != self._classes)),
            one_us=min(run.times["one_us"] for run in runs),
            batch_us=min((run.times["batch_us"] for run in runs if "batch_us" in run.times), default=None),
            memory_bytes=None if last.resident is None else last.resident - self._empty * candidate.is_python,
            size_bytes=sum(file.stat().st_size for file in [made, *made.rglob("*")] if file.is_file()),
            start_ms=1000 * min(run.start_s for run in runs),
        )

    def _scores(self, said: Any) -> dict[str, float | None]:
        if self._truth is None:
            return {"accuracy": None, "macro_f1": None}
        classes = self._bundle.classes
        counts = confusion(self._truth, [classes[best] for best in said], classes)
        return {
            "accuracy": sum(row[at] for at, row in enumerate(counts)) / len(self._truth),
            "macro_f1": macro_f1(counts),
        }
