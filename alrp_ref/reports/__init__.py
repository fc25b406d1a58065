"""Reports: pages, curves and tables of one run, and the comparison of many runs."""

from alrp_ref.reports.compare import compare
from alrp_ref.reports.comparison import write_comparison
from alrp_ref.reports.report import write_report

__all__ = ["compare", "write_comparison", "write_report"]
