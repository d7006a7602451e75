"""The page: sections in order, table of contents, style. Nothing in it is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files as package_files

from pipeline.engine.run_directory import RunDirectory
from pipeline.report.audit_section import audit
from pipeline.report.brief_section import brief
from pipeline.report.cell_plots import calibration, cell_curves
from pipeline.report.dataset_sections import acceptance, balance, contact_sheets
from pipeline.report.detector_sections import roc_section, training
from pipeline.report.error_sheets import error_sheets
from pipeline.report.fairness_sections import cell_bars, cross_table
from pipeline.report.markup import Html, tag
from pipeline.report.provenance_section import provenance
from pipeline.report.run_files import read_run
from pipeline.report.summary_section import summary
from pipeline.report.tables import Section
from pipeline.report.threshold_section import gap_section

MAKERS = (
    brief,
    summary,
    contact_sheets,
    acceptance,
    balance,
    audit,
    training,
    roc_section,
    cell_bars,
    cell_curves,
    calibration,
    gap_section,
    error_sheets,
    cross_table,
    provenance,
)
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def style() -> Html:
    """The style sheet of the page, from the package."""
    return Html(package_files("pipeline.report").joinpath("style.css").read_text(encoding="utf-8"))


def _head(title: str) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", style()),
    )


def _contents(sections: Sequence[Section]) -> Html:
    items = (tag("li", tag("a", section.title, href=f"#{section.anchor}")) for section in sections)
    return tag("nav", tag("h2", "Contents"), tag("ol", *items), aria_label="Contents")


def document(title: str, heading: str, lead: str, sections: Sequence[Section]) -> str:
    """A page of sections with its table of contents, as HTML text that loads nothing.

    Args:
        title: of the window.
        heading: of the page.
        lead: a line below it.
        sections: at least one.
    """
    header = tag(
        "header",
        tag("p", "FairForge report", class_="kicker"),
        tag("h1", heading),
        tag("p", lead, class_="lead"),
    )
    main = tag("main", *(section.draw(number) for number, section in enumerate(sections, 1)))
    body = tag(
        "body",
        tag("a", "Skip to the report", href=f"#{sections[0].anchor}", class_="skip"),
        header,
        tag("div", _contents(sections), main, class_="page"),
    )
    return "<!DOCTYPE html>\n" + tag("html", _head(title), body, lang="en")


def render(run: RunDirectory) -> str:
    """The report of a finished run as one HTML page.

    The page depends on the run's outputs and configuration alone: not on the clock, on where the run lies, or
    on how many workers made it. Every figure names the file it comes from; undefined figures are shown as
    such.

    Returns:
        HTML text, with images as data URIs and plots as SVG inside; it loads nothing.

    Raises:
        MissingError: a file of a stage is not there; the stage is named. DataError: a file cannot be read.
    """
    files = read_run(run)
    name = run.config.run.name
    sections = [make(files) for make in MAKERS]
    return document(f"{name}: FairForge report", name, run.config.release.description, sections)
