"""How much the base install takes on disk, bytecode included: the wheel and what it needs, in an empty environment."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.parts import ROOT
from tests.support.bare import LARGEST_MB, size_mb


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "build", "--quiet", "--wheel", "--out-dir", place, ROOT], check=True)
        subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
        into = ["--quiet", "--compile-bytecode", "--python", place / "venv" / "bin" / "python"]
        wheel = next(place.glob("*.whl"))
        subprocess.run([*uv, "pip", "install", *into, "--constraints", ROOT / "requirements.lock", wheel], check=True)
        print(f"base install: {size_mb(place / 'venv'):.0f} MB (promised: at most {LARGEST_MB})")


if __name__ == "__main__":
    main()
