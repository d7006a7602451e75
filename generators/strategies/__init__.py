"""How candidates for a cell are drawn, by name: one file each."""

from generators.strategies.base import STRATEGIES, Drawing, Strategy

__all__ = ["STRATEGIES", "Drawing", "Strategy"]
