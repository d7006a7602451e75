"""The documentation site: pages that are made (commands, model cards, notebooks), how mkdocs takes them,
building and showing.

Nothing here needs torch; mkdocs and its plugins come with `pip install 'fairforge[docs]'`.
"""
