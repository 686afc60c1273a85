"""What the reader left out of a file: rows of the wrong length, headers once more; and what it says of the rest."""

from ampedge.table import Table
from ampedge.training.detectors.finding import Finding, Kind, Severity, plural
from ampedge.training.inspection.examination import first


def structure(table: Table) -> list[Finding]:
    """Findings on the file as a whole."""
    left_out = table.left_out
    found = []
    if left_out.ragged:
        found.append(
            Finding(
                Kind.RAGGED,
                Severity.ERROR,
                None,
                left_out.ragged.total,
                tuple(left_out.ragged),
                first(plural(count, "field") for count in left_out.fields),
                f"{plural(left_out.ragged.total, 'row')} with too few or too many fields for {len(table.columns)} "
                "columns.",
                "Look for a separator or a quotation mark too many or too few; training leaves such rows out with "
                "--drop-bad-rows.",
            )
        )
    if left_out.repeated:
        found.append(
            Finding(
                Kind.REPEATED_HEADER,
                Severity.NOTE,
                None,
                left_out.repeated.total,
                tuple(left_out.repeated),
                (),
                f"The header stands {plural(left_out.repeated.total, 'more time')} between the rows.",
                "Nothing: every command skips it. Files were put together, so look for experiments that differ.",
            )
        )
    if left_out.comments:
        found.append(_file(left_out.comments.total, left_out.comments, "comment"))
    if left_out.blank:
        found.append(_file(left_out.blank.total, left_out.blank, "blank line"))
    line, cells = table.header
    changed = [cell for cell, name in zip(cells, table.columns, strict=False) if cell != name]
    styles = [name for name in table.columns if name != name.lower()]
    if changed:
        found.append(
            Finding(
                Kind.FILE,
                Severity.NOTE,
                None,
                len(changed),
                (line,),
                first(map(repr, changed)),
                f"{plural(len(changed), 'column name')} with spaces around, a unit or a type behind it.",
                "Nothing: every command knows the column by its name alone.",
            )
        )
    if 0 < len(styles) < len(table.columns) / 2:
        found.append(
            Finding(
                Kind.FILE,
                Severity.NOTE,
                None,
                len(styles),
                (line,),
                first(styles),
                f"{plural(len(styles), 'column name')} with capitals among others without.",
                "Write them as the tags of the data map are written: names that differ in case are different names.",
            )
        )
    return found


def _file(count: int, lines: list[int], noun: str) -> Finding:
    return Finding(
        Kind.FILE,
        Severity.NOTE,
        None,
        count,
        tuple(lines),
        (),
        f"{plural(count, noun)} between the rows.",
        "Nothing: every command skips it.",
    )
