"""A headless Chromium for tests that look at pages; they are skipped where there is none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

CONTRAST = """() => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const out = [];
  for (const text of document.querySelectorAll('svg text, svg tspan')) {
    const [a, b] = [parse(getComputedStyle(text).fill), ground(text)].map(light).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) out.push([text.textContent, ratio]);
  }
  return [document.querySelectorAll('svg text').length, out];
}"""
"""How many texts of plots there are, and those whose contrast with the ground is below 4.5: axe cannot judge
text in SVG.
"""


def chromium() -> str:
    """Where the browser is; skips the test where it, or what drives it, is missing."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium")
    return found


@contextmanager
def browser() -> Iterator[object]:
    """A running browser."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield running
        finally:
            running.close()


def axe_source() -> str:
    """The script of axe-core; skips the test where it is missing."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("needs axe-core")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")
