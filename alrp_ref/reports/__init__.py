"""Reports: pages, curves and tables of one run, and of many that are compared."""

from alrp_ref.reports.comparison import write_comparison
from alrp_ref.reports.report import write_report

__all__ = ["write_comparison", "write_report"]
