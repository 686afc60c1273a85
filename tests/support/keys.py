"""Ed25519 keys for tests, made by the openssl commands that the documentation shows."""

import re
import subprocess
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@cache
def openssl_lines() -> list[str]:
    """The openssl commands of docs/models.md, in their order."""
    return re.findall(r"^openssl .+$", PAGE.read_text("utf-8"), re.MULTILINE)


def make_keys(place: Path, name: str = "model-key") -> tuple[Path, Path]:
    """(private key, public key) in `place`, by the first two of those commands."""
    place.mkdir(parents=True, exist_ok=True)
    for line in openssl_lines()[:2]:
        subprocess.run(line.replace("model-key", name), cwd=place, shell=True, check=True, capture_output=True)
    return place / f"{name}.pem", place / f"{name}.pub"
