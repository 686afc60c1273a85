"""What `simulate` does with its rows and shows of them: lines for people, a document for programs."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from ampedge.clock import SystemClock
from ampedge.config import Config
from ampedge.datamap import DataMap
from ampedge.modbus.client import Master
from ampedge.mqtt.subscriber import Subscriber
from ampedge.mqtt.topics import event_topic, label_topic
from ampedge.service.hosting import reachable
from ampedge.simulator.acceptance import Matcher, Outcome, Score, Verdict, gate, scored
from ampedge.simulator.play import Play, play

_STYLES = {
    Verdict.RIGHT: "green",
    Verdict.WRONG: "bold red",
    Verdict.UNKNOWN: "yellow",
    Verdict.MISSING: "red",
    Verdict.NOT_SCORED: "dim",
}
_BROKER_S = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """What an acceptance test asks for."""

    min_score: float
    timeout_s: float


def run(
    plays: Iterator[Play],
    config: Config,
    datamap: DataMap,
    *,
    about: str,
    labels: Sequence[str],
    interval_s: float,
    check: Check | None,
    as_json: bool,
) -> Score:
    """Play the rows and print each; with `check`, compare what comes back and return the score.

    Raises UnreachableError where slave or broker is not there, GateError for a score below the limit,
    typer.Exit(130) when interrupted, after saying what there is to say.
    """
    device = config.device
    clock = SystemClock()
    messages = Console(stderr=True, highlight=False, soft_wrap=True)
    printer = Printer(Console(quiet=as_json), datamap, labels, check=check is not None)
    rows: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    interrupted = False
    with ExitStack() as opened:
        matcher = None
        if check is not None:
            topic = event_topic(label_topic(config.mqtt, device.name))
            listener = Subscriber(config.mqtt, password=config.password(), topics=[topic], wait_s=_BROKER_S)
            matcher = Matcher(opened.enter_context(listener), datamap, clock=clock)
        master = Master(reachable(device.host), device.port, unit=device.unit, timeout_s=device.timeout_s)
        opened.callback(master.close)
        master.connect()
        messages.print(f"{about} Writing to {master.address}, unit {device.unit}.", markup=False)
        printer.header()
        try:
            for this, written_s in play(plays, master, datamap, interval_s=interval_s, clock=clock):
                outcome = None
                if matcher is not None and check is not None:
                    outcome = matcher.outcome(this, written_s=written_s, timeout_s=check.timeout_s)
                    outcomes.append(outcome)
                if as_json:
                    rows.append(_row(datamap, this, outcome))
                printer.line(this, outcome)
        except KeyboardInterrupt:
            interrupted = True
    score = scored(outcomes)
    if as_json:
        document: dict[str, Any] = {
            "slave": master.address,
            "unit": device.unit,
            "interrupted": interrupted,
            "rows": rows,
        }
        if check is not None:
            document["check"] = _score(score, check.min_score)
        typer.echo(json.dumps(document, ensure_ascii=False))
    elif check is not None:
        printer.score(score)
    if interrupted:
        raise typer.Exit(130)
    if check is not None:
        gate(score, min_score=check.min_score)
    return score


class Printer:
    """Prints one line a row; `labels` are what may stand in the column of expected labels, for its width."""

    def __init__(self, console: Console, datamap: DataMap, labels: Sequence[str], *, check: bool) -> None:
        self._console = console
        self._datamap = datamap
        self._check = check
        self._width = max(map(len, ["expected", *labels]))

    def header(self) -> None:
        received = f"  {'received':{self._width}} {'delay':>8}  {'verdict':10}" if self._check else ""
        self._print(Text(f"{'row':>5}  {'expected':{self._width}}{received}  values", "bold"))

    def line(self, play: Play, outcome: Outcome | None = None) -> None:
        """The row; with an outcome, what was received for it."""
        text = Text(f"{play.row:>5}  {shown_label(play.label, play.overridden):{self._width}}")
        if outcome is not None:
            answer = outcome.answer
            label = "-" if answer is None else answer.event.label
            delay = "-" if answer is None else f"{1000 * answer.delay_s:.0f} ms"
            text.append(f"  {label:{self._width}} {delay:>8}  ")
            text.append(f"{outcome.verdict:10}", _STYLES[outcome.verdict])
        values = (
            f"{tag.name} {value:.6g} {tag.unit}".rstrip()
            for tag, value in zip(self._datamap.tags, play.values, strict=True)
        )
        self._print(text.append("  " + "  ".join(values), "dim"))

    def score(self, score: Score) -> None:
        """The last line of a check."""
        counts = score.counts
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
        share = "No score: no row has an expected label" if score.score is None else f"Score {score.score:.3f}"
        self._console.print(f"{share} ({told}).", style="bold", highlight=False, soft_wrap=True)

    def _print(self, text: Text) -> None:
        is_terminal = self._console.is_terminal
        self._console.print(text, no_wrap=True, overflow="ellipsis" if is_terminal else "ignore", crop=is_terminal)


def _row(datamap: DataMap, play: Play, outcome: Outcome | None = None) -> dict[str, Any]:
    """One row for programs."""
    plain: dict[str, Any] = {
        "row": play.row,
        "line": play.line,
        "values": dict(zip(datamap.names, play.values, strict=True)),
        "overridden": play.overridden,
        "expected": play.expected,
    }
    if outcome is not None:
        answer = outcome.answer
        plain |= {
            "received": None if answer is None else answer.event.label,
            "class": None if answer is None else answer.event.class_name,
            "delay_ms": None if answer is None else 1000 * answer.delay_s,
            "verdict": outcome.verdict,
        }
    return plain


def _score(score: Score, min_score: float) -> dict[str, Any]:
    """The score for programs."""
    counts = {verdict.replace(" ", "_"): count for verdict, count in score.counts.items()}
    return {**counts, "score": score.score, "min_score": min_score}


def shown_label(label: str | None, overridden: bool) -> str:
    """The expected label as its column shows it; in brackets where an override made it void."""
    if label is None:
        return "-"
    return f"(was {label})" if overridden else label
