"""Where the files are that travel with ampedge: the generated data, its samples, config and small bundle."""

from pathlib import Path

_PACKAGED = Path(__file__).parent / "examples"
_CHECKOUT = Path(__file__).parent.parent / "examples"

DATA = "data.csv"
SAMPLES = "test_samples.csv"
CONFIG = "ampedge.toml"
BUNDLE = "amplifier.ampedge"


def shipped(name: str) -> Path:
    """The path of a shipped file, in an install or in a checkout."""
    packaged = _PACKAGED / name
    return packaged if packaged.is_file() else _CHECKOUT / name
