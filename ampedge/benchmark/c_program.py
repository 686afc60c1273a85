"""The exported C header in a program that answers as `ampedge.benchmark.child` does."""

from pathlib import Path

from ampedge.model.bundle import Bundle
from ampedge.training.export import c_header, exporter

LOADER = "program"

_TEMPLATE = """\
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "model.h"

/* Arguments as a child has them: rows, columns, and a place for the probabilities. */
int main(int count, char **given)
{
    static double probabilities[NAME_CLASSES];
    double *values;
    long size, row, rows, calls = 0;
    clock_t began;
    FILE *file = fopen(given[1], "rb");
    FILE *out;
    if (count != 4 || file == NULL || fseek(file, 0, SEEK_END) != 0) return 1;
    size = ftell(file);
    rows = size / (long)(NAME_FEATURES * sizeof(double));
    values = malloc((size_t)size);
    rewind(file);
    if (values == NULL || fread(values, 1, (size_t)size, file) != (size_t)size) return 1;
    name_probabilities(values, probabilities);
    puts("first");
    fflush(stdout);
    out = fopen(given[3], "wb");
    if (out == NULL) return 1;
    for (row = 0; row < rows; row++) {
        name_probabilities(values + row * NAME_FEATURES, probabilities);
        if (fwrite(probabilities, sizeof probabilities, 1, out) != 1) return 1;
    }
    if (fclose(out) != 0) return 1;
    began = clock();
    do {
        for (row = 0; row < rows; row++) {
            name_probabilities(values + row * NAME_FEATURES, probabilities);
        }
        calls += rows;
    } while (clock() - began < CLOCKS_PER_SEC * 3 / 10);
    printf("{\\"one_us\\": %.6g}\\n", 1e6 * (double)(clock() - began) / CLOCKS_PER_SEC / (double)calls);
    fflush(stdout);
    while (getchar() != EOF) {
    }
    return 0;
}
"""


def make(bundle: Bundle, directory: Path) -> Path:
    """The compiled program beside its header; raises UsageError where there is no compiler."""
    header = exporter.export(bundle, "c", directory / exporter.default_place(bundle, "c")).path
    return c_header.compiled(header, directory, _TEMPLATE, optimised="-O2")
