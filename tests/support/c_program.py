"""An exported header in a program of its own, compiled as strictly as its user may compile it."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.parts import needed

WARNINGS = ("-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Wundef")

_PROGRAM = """\
#include "model.h"
#include <stdio.h>

int main(void)
{
    double values[NAME_FEATURES], probabilities[NAME_CLASSES];
    int i;
    for (i = 0; i < NAME_CLASSES; i++) {
        puts(name_names[i]);
    }
    puts(NAME_VERSION);
    puts(NAME_SHA256);
    while (fread(values, sizeof values, 1, stdin) == 1) {
        printf("%d %d", name_probabilities(values, probabilities), name_class(values));
        for (i = 0; i < NAME_CLASSES; i++) {
            printf(" %.17g", probabilities[i]);
        }
        printf(" %s\\n", name_label(values));
    }
    return 0;
}
"""


@dataclass(frozen=True)
class Said:
    """What the program says of itself and of each row."""

    names: list[str]
    version: str
    sha256: str
    answered: list[int]
    numbers: list[int]
    probabilities: np.ndarray
    labels: list[str]


def prefix_of(header: Path) -> str:
    """What the C names of an exported header begin with."""
    (found,) = re.findall(r"(\w+)_label\(const double", header.read_text("utf-8"))
    return str(found)


def compile_c(
    program: str, *, header: Path, directory: Path, compiler: str = "gcc", flags: tuple[str, ...] = ()
) -> Path:
    """The program beside a copy of the header `model.h`, compiled without a warning; c99 unless `flags` say else."""
    path = needed(compiler)
    (directory / "model.h").write_bytes(header.read_bytes())
    (directory / "program.c").write_text(program, "utf-8")
    language = ("-x", "c++", "-std=c++11") if compiler == "g++" else ("-std=c99",)
    command = [path, *language, *WARNINGS, *flags, "-o", "program", "program.c", "-lm"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return directory / "program"


def say(
    header: Path, values: np.ndarray, *, directory: Path, compiler: str = "gcc", flags: tuple[str, ...] = ()
) -> Said:
    """Run rows of values through all functions of the header."""
    name = prefix_of(header)
    text = _PROGRAM.replace("name_", f"{name}_").replace("NAME_", f"{name.upper()}_")
    program = compile_c(text, header=header, directory=directory, compiler=compiler, flags=flags)
    done = subprocess.run([program], input=values.astype(np.float64).tobytes(), capture_output=True, check=True)
    assert done.stderr == b""
    (count,) = re.findall(r"_CLASSES (\d+)$", header.read_text("utf-8"), re.MULTILINE)
    lines = done.stdout.decode("utf-8").split("\n")[:-1]
    classes = int(count)
    rows = [line.split(" ", classes + 2) for line in lines[classes + 2 :]]
    assert len(rows) == len(values)
    return Said(
        names=lines[:classes],
        version=lines[classes],
        sha256=lines[classes + 1],
        answered=[int(row[0]) for row in rows],
        numbers=[int(row[1]) for row in rows],
        probabilities=np.array([[float(cell) for cell in row[2:-1]] for row in rows]).reshape(-1, classes),
        labels=[row[-1] for row in rows],
    )
