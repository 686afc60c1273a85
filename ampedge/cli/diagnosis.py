"""How `doctor` shows what it has found: for people on a terminal, as plain lines, as JSON."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ampedge.doctor.examination import Report
from ampedge.doctor.finding import Finding, State

_MARKS = {State.OK: ("✓", "green"), State.WARNING: ("!", "bold yellow"), State.PROBLEM: ("✗", "bold red")}


def show(examine: Callable[[], Report], *, as_json: bool) -> Report:
    """Examine, and print what was found; what libraries say meanwhile is no news."""
    logging.getLogger("ampedge").addHandler(logging.NullHandler())
    console = Console(highlight=False)
    if as_json:
        report = examine()
        print(json.dumps(as_document(report), ensure_ascii=False, indent=1))
    elif console.is_terminal:
        with Console(stderr=True).status("Looking ..."):
            report = examine()
        console.print(drawn(report.findings))
    else:
        report = examine()
        for finding in report.findings:
            print(plain(finding))
        print(summary(report.findings))
    return report


def as_document(report: Report) -> dict[str, object]:
    """Everything as one JSON document."""
    findings = [
        {"check": f.check, "state": f.state, "found": f.found, "remedy": f.remedy, "exit_code": f.exit_code}
        for f in report.findings
    ]
    return {"schema": 1, "exit_code": report.exit_code, "findings": findings, "service": report.snapshot}


def plain(finding: Finding) -> str:
    """One finding as a line, what to do as a second one."""
    line = f"{finding.state:<8} {finding.check}: {finding.found}"
    return f"{line}\n{'':<8} {finding.remedy}" if finding.remedy else line


def drawn(findings: Sequence[Finding]) -> Table:
    """All findings for a terminal, the text of each in a column of its own."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True, max_width=24)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.state]
        text = Text(finding.found, "" if finding.state is State.OK else style)
        if finding.remedy:
            text.append(f"\n{finding.remedy}", "not bold default")
        table.add_row(Text(mark, style), Text(finding.check, "dim" if finding.state is State.OK else ""), text)
    table.add_row("", "", Text(summary(findings), "bold"))
    return table


def summary(findings: Sequence[Finding]) -> str:
    """How many problems and warnings there are."""
    counts = Counter(finding.state for finding in findings)
    problems, warnings = counts[State.PROBLEM], counts[State.WARNING]
    if not problems and not warnings:
        return "All is well."
    said = [f"{problems} problem{'s' * (problems != 1)}"] if problems else ["No problem"]
    return ", ".join([*said, *([f"{warnings} warning{'s' * (warnings != 1)}"] if warnings else [])]) + "."
