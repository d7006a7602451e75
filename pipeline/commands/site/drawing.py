"""The drawing of the architecture's Mermaid text: `python -m pipeline.commands.site.drawing FILE.svg` takes a
new one in.

Readers of the site see the drawing, so that no script has to be loaded from elsewhere; those of the Markdown
see the text. The drawing names the digest of its text, so that one which no longer fits is found.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from manifests.atomic import digest_bytes, write_text
from pipeline.engine.shipped_files import shipped_root

MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
STAMP = re.compile(r"<!-- of the Mermaid text with sha256 ([0-9a-f]{64}) -->\n")


def digest_of_text(page: str) -> str:
    """sha256 of the Mermaid text of a Markdown page; the page has one."""
    texts = MERMAID.findall(page)
    if len(texts) != 1:
        raise ValueError(f"a page with one Mermaid diagram is wanted, this one has {len(texts)}")
    return digest_bytes(texts[0].encode())


def digest_in_drawing(svg: str) -> str | None:
    """The digest of the text that a drawing says it was made of."""
    found = STAMP.search(svg)
    return found[1] if found else None


def main(drawing: str) -> None:
    """Put a drawing into the documents, with the digest of the text as it is now."""
    docs = shipped_root() / "docs"
    svg = STAMP.sub("", Path(drawing).read_text(encoding="utf-8"))
    digest = digest_of_text((docs / "architecture.md").read_text(encoding="utf-8"))
    write_text(
        docs / "images" / "architecture.svg", f"<!-- of the Mermaid text with sha256 {digest} -->\n{svg}"
    )


if __name__ == "__main__":
    main(sys.argv[1])
