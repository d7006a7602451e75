"""Stage `cross`: a second dataset of another origin, for testing."""
