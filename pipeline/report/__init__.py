"""The report: one self-contained HTML page about a run, the same bytes for the same run wherever it lies.

    from pipeline.report import render
    page = render(run)

`pipeline.report.contact_sheet.sheet_png` makes the picture of a whole dataset for other pages.
"""

from __future__ import annotations

from pipeline.report.page import render

__all__ = ["render"]
