"""`c`: scaling, network and limits as one C99 header for a controller; compiled and run here before it is kept."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ampedge.errors import UsageError
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.training.export.c_source import header
from ampedge.training.export.comparison import Run
from ampedge.training.export.facts import file_stem

_COMPILERS = ("cc", "gcc", "clang")
_PROGRAM = """\
#include <stdio.h>
#include "model.h"

int main(void)
{
    double values[NAME_FEATURES], probabilities[NAME_CLASSES];
    while (fread(values, sizeof values, 1, stdin) == 1) {
        name_probabilities(values, probabilities);
        fwrite(probabilities, sizeof probabilities, 1, stdout);
    }
    return 0;
}
"""


def write(bundle: Bundle, place: Path) -> None:
    """A header whose C names begin with the model's name."""
    place.write_text(header(bundle, f"{file_stem(bundle)}.h"), "utf-8")


def load(place: Path) -> Run:
    """The header in a program of its own; raises UsageError where there is no compiler to make it."""
    compiler = _compiler()

    def run(values: Matrix) -> Matrix:
        with tempfile.TemporaryDirectory() as directory:
            program = _compiled(compiler, place, Path(directory), _PROGRAM, "-O1")
            try:
                done = subprocess.run([program], input=values.tobytes(), capture_output=True, check=False)  # noqa: S603
            except OSError as error:
                raise UsageError(
                    f"What was compiled to check an export to C cannot be run in {directory}: {error.strerror}.",
                    "Let TMPDIR name a directory in which programs may run.",
                ) from error
        if done.returncode != 0:
            return np.empty((0, 0))  # no answer to any row
        return np.frombuffer(done.stdout).reshape(len(values), -1)

    return run


def compiled(place: Path, directory: Path, program: str, *, optimised: str) -> Path:
    """A program in `directory` of C code that includes `model.h` and names the model `name` and `NAME`.

    Raises UsageError where there is no compiler.
    """
    return _compiled(_compiler(), place, directory, program, optimised)


def _compiler() -> str:
    found = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if found is None:
        raise UsageError(
            "Checking an export to C needs a C compiler, which this machine does not have.",
            "Install one; on Debian: sudo apt install gcc libc6-dev",
        )
    return found


def _compiled(compiler: str, place: Path, directory: Path, program: str, optimised: str) -> Path:
    text = place.read_text("utf-8")
    (name,) = re.findall(r"^static inline int (\w+)_probabilities", text, re.MULTILINE)
    (directory / "model.h").write_text(text, "utf-8")
    (directory / "check.c").write_text(program.replace("name_", f"{name}_").replace("NAME_", f"{name.upper()}_"))
    done = subprocess.run(  # noqa: S603
        [compiler, "-std=c99", optimised, "-o", "check", "check.c", "-lm"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise UsageError(
            f"{compiler} could not compile the export: {said}",
            "Where it lacks math.h or stdio.h, on Debian: sudo apt install libc6-dev; else report this with the model.",
        )
    return directory / "check"
