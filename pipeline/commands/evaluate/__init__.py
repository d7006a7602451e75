"""`fairforge evaluate --manifest` and what belongs to it: tables, cards, robustness."""
