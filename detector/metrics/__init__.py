"""How good and how fair scores are: rates, gaps, intervals, tests."""
