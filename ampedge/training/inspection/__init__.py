"""What is wrong with a table before anything is trained on it: `inspect`, its page, and a cleaned copy."""

from ampedge.training.inspection.finding import Finding, Kind, Severity
from ampedge.training.inspection.fix import Fixed, write_fixed
from ampedge.training.inspection.inspect import Inspection, inspect
from ampedge.training.inspection.page import write_page

__all__ = ["Finding", "Fixed", "Inspection", "Kind", "Severity", "inspect", "write_fixed", "write_page"]
