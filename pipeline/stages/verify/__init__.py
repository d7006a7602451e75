"""Stage `verify`: which candidates are accepted."""
