"""The documentation site: built with warnings as errors, whole, usable without a network, and shown only to
this machine.
"""

import os
import re
import subprocess
import sys
import threading
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

import pytest

from manifests.errors import DataError, MissingError, UsageError
from pipeline.cli.command_pages import commands
from pipeline.commands.config_reference import keys
from pipeline.commands.site import building, drawing, pages
from tests.documents.command_lines import ROOT

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    script = (
        "import sys; from pathlib import Path; from pipeline.commands.site.building import docs\n"
        "docs(Path(sys.argv[1]), show=False); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr or "torch was imported"
    return out


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_document_is_a_page(site: Path):
    expected = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
    }
    expected |= {Path(page).with_suffix(".html").as_posix() for page in pages.made_pages("")}
    assert expected <= {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {
        "commands.html",
        "tutorial.html",
        "cards/detector.html",
        "notebooks/fairness-of-your-scores.html",
    } <= expected


def test_commands_keys_and_functions_are_in_the_site(site: Path):
    shown = text_of(site / "commands.html")
    assert all(f"fairforge {name}" in shown for name, _ in commands())
    shown = (site / "configuration.html").read_text(encoding="utf-8")
    assert all(f"<code>{key.key.rpartition('.')[2]}</code>" in shown for key in keys())
    shown = (site / "api" / "detection.html").read_text(encoding="utf-8")
    assert 'id="detector.fairness.report"' in shown
    assert "min_n" in text_of(site / "api" / "detection.html")


class _Loads(HTMLParser):
    """What a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("stylesheet", "preconnect", "icon"):
            self.found.append(values.get("href") or "")
        elif tag in LOADING:
            self.found.append(values.get(LOADING[tag]) or "")


def test_no_page_loads_anything_from_elsewhere(site: Path):
    count = 0
    for page in site.rglob("*.html"):
        loads = _Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        count += len(loads.found)
        assert [one for one in loads.found if re.match(r"(https?:)?//", one)] == [], page
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), (
            "a script from elsewhere would draw it"
        )
    assert count > 100


def test_links_out_of_the_documents_lead_to_pages_or_are_words():
    text = (
        "see [card](../detector/weights/README.md#use), [a test](../tests/test_kills.py), [self](#x), "
        "`[no](../CHANGELOG.md)` and ![p](images/a.png)"
    )
    assert (
        pages.with_links_of_the_site(text, "guide.md")
        == "see [card](cards/detector.md#use), a test, [self](#x), `[no](../CHANGELOG.md)` and"
        " ![p](images/a.png)"
    )
    assert (
        pages.with_links_of_the_site("[a](docs/metrics.md) [b](README.md)", "changelog.md")
        == "[a](metrics.md) [b](index.md)"
    )
    assert (
        pages.with_links_of_the_site("[a](../docs/x.md) [b](../../docs/data.md#y)", "cards/detector.md")
        == "a [b](../data.md#y)"
    )


def small_documents(root: Path, text: str) -> None:
    """A site of one page in the layout of the project."""
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "index.md").write_text(text)
    (root / "mkdocs.yml").write_text(
        "site_name: x\ntheme: {name: material, font: false}\nplugins: []\nvalidation: {anchors: warn}\n"
    )


@pytest.mark.parametrize("text", ["# A\n\n[gone](gone.md)\n", "# A\n\n[gone](#gone)\n"])
def test_a_warning_is_an_error_and_leaves_no_site(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_documents(tmp_path, text)
    monkeypatch.setattr(building, "shipped_root", lambda: tmp_path)
    monkeypatch.setattr("pipeline.commands.site.pages.made_pages", lambda commands: {})
    with pytest.raises(DataError, match="gone"):
        building.build_site(tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_site_is_built_once_and_again_when_a_source_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small_documents(tmp_path, "# A\n")
    monkeypatch.setattr(building, "shipped_root", lambda: tmp_path)
    monkeypatch.setattr(building, "ROOT", tmp_path)
    monkeypatch.setattr("pipeline.commands.site.pages.made_pages", lambda commands: {})
    out = tmp_path / "site"
    assert building.docs(out, show=False) == out / "index.html"
    before = (out / "index.html").stat().st_mtime_ns
    building.docs(out, show=False)
    assert (out / "index.html").stat().st_mtime_ns == before
    building.docs(out, fresh=True, show=False)
    assert (out / "index.html").stat().st_mtime_ns > before
    (tmp_path / "docs" / "index.md").write_text("# B\n")
    later = (out / building.MARK).stat().st_mtime + 5
    os.utime(tmp_path / "docs" / "index.md", (later, later))
    assert not building.is_current(out)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="no site"):
        building.build_site(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_without_mkdocs_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "NEEDS", ("a_package_that_is_not_there",))
    with pytest.raises(MissingError) as caught:
        building.build_site(tmp_path / "site")
    assert "fairforge[docs]" in caught.value.fix


def test_the_site_is_served_to_this_machine_alone(tmp_path: Path):
    (tmp_path / "index.html").write_text("a page")
    with building.server_of(tmp_path) as server:
        assert server.server_address[0] == "127.0.0.1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/") as answer:
            assert answer.read() == b"a page"
        server.shutdown()


def test_the_drawing_is_of_the_text_in_its_page():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    svg = (ROOT / "docs" / "images" / "architecture.svg").read_text(encoding="utf-8")
    assert drawing.digest_in_drawing(svg) == drawing.digest_of_text(page), (
        "draw it again: CONTRIBUTING.md says how"
    )
    assert drawing.digest_of_text(page.replace("report", "rapport")) != drawing.digest_in_drawing(svg)
    assert "<script" not in svg
