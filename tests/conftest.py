"""Fixtures that several test files share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ampedge.log import redaction
from tests.support.canary import no_secret_in_files, pytest_runtest_makereport  # noqa: F401  # of every test
from tests.support.mosquitto import Mosquitto

# A busy machine is no failure: examples may take their time.
settings.register_profile("ampedge", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ampedge")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running Mosquitto on a free port of this machine, open to everyone."""
    place = tmp_path / "mosquitto"
    place.mkdir()
    with Mosquitto(place) as broker:
        yield broker


@pytest.fixture(scope="session")
def wine_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's wine table as a CSV file: real measurements that come with the library."""
    from tests.support.training import write_wine

    return write_wine(tmp_path_factory.mktemp("wine") / "wine.csv")


@pytest.fixture(scope="session")
def wine_bundle(wine_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle directory that `ampedge train` wrote from the wine table at the default settings."""
    from tests.support.training import trained

    out = tmp_path_factory.mktemp("wine_bundle") / "model"
    trained(wine_csv, out)
    return out


@pytest.fixture(autouse=True)
def _secrets_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that one test uses must not be hidden from the output of the next one in the same process."""
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_known", None)
