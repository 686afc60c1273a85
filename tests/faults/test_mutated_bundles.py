"""No damaged or forged bundle is loaded: every kind of `mutate_bundle`, a hundred times each."""

from pathlib import Path

import pytest

from tests.faults.mutate_bundle import OPEN, SEEDS, SIGNED, Original, loaded, originals


@pytest.fixture(scope="module")
def of_kind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Original]:
    return originals(tmp_path_factory.mktemp("original"))


@pytest.mark.parametrize("kind", [*OPEN, *SIGNED])
def test_no_mutation_is_loaded(kind: str, of_kind: dict[str, Original], tmp_path: Path) -> None:
    assert not [seed for seed in range(SEEDS) if loaded(kind, seed, of_kind[kind], tmp_path / "mutated.ampedge")]


@pytest.mark.parametrize("kind", SIGNED)
def test_what_is_forged_with_care_is_found_by_the_signature_alone(
    kind: str, of_kind: dict[str, Original], tmp_path: Path
) -> None:
    without_key = Original(of_kind[kind].data, None)
    assert all(loaded(kind, seed, without_key, tmp_path / "mutated.ampedge") for seed in range(5))


def test_there_are_as_many_as_promised() -> None:
    assert len({**OPEN, **SIGNED}) * SEEDS >= 1200
