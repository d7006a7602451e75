"""The report in a real browser: nothing is fetched, nothing fails, nothing sticks out, and it is
accessible.
"""

import json
from pathlib import Path

import pytest

from manifests.atomic import write_json
from pipeline.engine.config import Config
from pipeline.report import render
from tests.pipeline.browser import CONTRAST, axe_source, browser
from tests.pipeline.report_run import make_run

CONFIG = Config.model_validate(
    {
        "dataset": {"image_size": 32, "only": ["White/Male", "Black/Female"]},
        "report": {"columns": 2, "errors": 1},
    }
)
EMPTIED = "document.querySelectorAll('svg').forEach(one => one.replaceChildren())"
"""What is in a plot is one picture to a reader (role img), and axe takes a minute over its thousands of
lines.
"""
OPENED = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    path, run = (
        folder / "index.html",
        make_run(folder / "run", CONFIG, splits={"train": 1, "val": 1, "test": 2}),
    )
    results = json.loads((run.root / "evaluate/results.json").read_text())
    for part in ("datasets", "constant_predictor"):
        results[part] = {name: entry for name, entry in results[part].items() if name.startswith("test")}
    write_json(run.root / "evaluate/results.json", results)
    path.write_text(render(run), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def running():
    with browser() as one:
        yield one


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_opens_without_a_request_an_error_or_a_sideways_scroll(
    page_file: Path, running, width: int, scheme: str
):
    context = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda one: requests.append(one.url))
    page.on("pageerror", lambda one: errors.append(str(one)))
    page.on("console", lambda one: errors.append(one.text))
    page.goto(page_file.as_uri())
    page.evaluate(OPENED)
    assert [url for url in requests if not url.startswith("data:")] == [page_file.as_uri()]
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark is (scheme == "dark")
    narrow = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.errors img, .sheet img')].map(one => one.height))"
    )
    assert narrow >= 100, "pictures are large enough to look at"
    texts, faint = page.evaluate(CONTRAST)
    assert texts > 50
    assert faint == []
    context.close()


@pytest.mark.parametrize(
    ("width", "scheme", "rules"), [(1280, "light", None), (400, "dark", ["color-contrast"])]
)
def test_axe_finds_nothing(page_file: Path, running, width: int, scheme: str, rules: list[str] | None):
    source = axe_source()
    context = running.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.evaluate(EMPTIED)
    page.evaluate(source)
    found = page.evaluate(
        "rules => axe.run(({resultTypes: ['violations'], ...(rules ? {runOnly: rules} : {})}))", rules
    )
    assert len(found["passes"]) >= (20 if rules is None else 1)
    assert [(one["id"], [node["html"] for node in one["nodes"][:3]]) for one in found["violations"]] == []
    context.close()


def test_axe_would_find_something(running):
    source = axe_source()
    page = running.new_page()
    page.set_content(
        "<!DOCTYPE html><html><body><img src='data:,'><p style='color:#ddd'>faint text</p></body></html>"
    )
    page.evaluate(source)
    found = {one["id"] for one in page.evaluate("axe.run()")["violations"]}
    assert {"image-alt", "color-contrast", "html-has-lang"} <= found
    page.close()


def test_closed_parts_are_printed(page_file: Path, running):
    page = running.new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    heights = page.evaluate(
        "[...document.querySelectorAll('details')].map(one => one.getBoundingClientRect().height)"
    )
    assert heights
    assert min(heights) > 60, "a closed one is a line high"
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
