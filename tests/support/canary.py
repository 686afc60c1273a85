"""One secret for all tests, and a look for it over everything that the tests leave behind.

Whoever needs a password in a test takes `CANARY`, and writes it into files whose names say so, or `.toml`.
As a plugin of pytest this fails a test whose captured output shows it, and the last test of the run where another
file below the temporary directory holds it: a log, an event log, a bundle, a table.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

CANARY = "canary-hunter2-81c6e5"


def refuse(*texts: str | None) -> None:
    """Fail where the secret is in one of the texts."""
    for text in texts:
        if text is not None and CANARY in text:
            at = text.index(CANARY)
            pytest.fail(f"the secret shows in {text[max(0, at - 200) : at + 100]!r}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report = yield
    if report.when == "teardown" and any(CANARY in text for _, text in report.sections):
        report.outcome = "failed"
        report.longrepr = "The secret shows in the captured output."
    return report


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    base = tmp_path_factory.getbasetemp()
    if found := [path for path in base.rglob("*") if _may_not_hold_it(path) and _holds_it(path)]:
        pytest.fail("files that hold the secret: " + ", ".join(str(path.relative_to(base)) for path in found))


def _may_not_hold_it(path: Path) -> bool:
    return path.is_file() and path.suffix != ".toml" and "secret" not in path.name and "password" not in path.name


def _holds_it(path: Path) -> bool:
    try:
        return CANARY.encode() in path.read_bytes()
    except OSError:  # a test took its own right to read it away
        return False
