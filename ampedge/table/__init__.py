"""CSV tables as spreadsheets, loggers and people write them: `read_table` and what it gives."""

from ampedge.table.cells import disguise, fault, is_missing, may_be_missing, number, shown
from ampedge.table.columns import Texts
from ampedge.table.layout import SEPARATORS, Row
from ampedge.table.reader import read_table
from ampedge.table.source import LeftOut, Progress
from ampedge.table.table import Table

__all__ = [
    "SEPARATORS",
    "LeftOut",
    "Progress",
    "Row",
    "Table",
    "Texts",
    "disguise",
    "fault",
    "is_missing",
    "may_be_missing",
    "number",
    "read_table",
    "shown",
]
