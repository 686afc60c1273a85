"""What an inspection says of a planted table, beside what was planted."""

from pathlib import Path

from ampedge.datamap import DataMap, Tag
from ampedge.table import read_table
from ampedge.training.inspection.inspect import Inspection, inspect
from ampedge.training.settings import TableSettings
from tests.support.planter import Base, Defect, Planted, plant, written


def reported(inspection: Inspection) -> set[Defect]:
    """Every cell, line or column that the findings name."""
    found = set()
    for finding in inspection.findings:
        for line in finding.lines or (None,):
            found.add(Defect(finding.kind.value, line, finding.column))
    return found


def inspected(
    path: Path, base: Base, valid: dict[str, tuple[float, float]] | None = None, **dialect: str
) -> Inspection:
    """The inspection of a file, with the stated ranges where there are any."""
    table = read_table(path, drop_bad_rows=True, **dialect)
    datamap = None
    if valid:
        names = [name for name in table.columns if name not in (base.label, base.time)]
        datamap = DataMap(
            tuple(Tag(name, 4 * at, type="float64", valid=valid.get(name)) for at, name in enumerate(names))
        )
    return inspect(table, TableSettings(label=base.label), datamap)


def planted_and_reported(
    folder: Path, base: Base, seed: int, *, sep: str = ",", decimal: str = ".", kinds: list[str] | None = None
) -> tuple[Planted, set[Defect], set[Defect]]:
    """(what was planted, what of it was missed, what was reported that was neither planted nor there before)."""
    plain, path = folder / "base.csv", folder / "planted.csv"
    plain.write_text(written(base, sep=sep, decimal=decimal), "utf-8")
    planted = plant(base, seed, kinds, sep=sep, decimal=decimal)
    path.write_text(planted.text, "utf-8")
    dialect = {"sep": sep, "decimal": decimal}
    before = reported(inspected(plain, base, **dialect))
    after = reported(inspected(path, base, planted.valid, **dialect))
    known = {
        Defect(one.kind, line, one.column)
        for one in before
        for line in ([None] if one.line is None else planted.lines.get(one.line - 2, []))
    }
    extra = after - planted.truth - known
    if any(one.kind == "class_balance" for one in planted.truth):
        extra.discard(Defect("class_balance", None, base.label))
    return planted, set(planted.truth - after), extra
