"""What mkdocs calls while it builds the site (its documentation: hooks). See
`pipeline.commands.site.pages`.
"""

from __future__ import annotations

from typing import Any

from pipeline.cli.command_pages import as_markdown
from pipeline.commands.site.pages import made_pages, with_drawing, with_links_of_the_site


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are no files of `docs`."""
    from mkdocs.structure.files import File

    for page, text in made_pages(as_markdown()).items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """A page as the site has it."""
    return with_drawing(with_links_of_the_site(markdown, page.file.src_uri), page.file.src_uri)
