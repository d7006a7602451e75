"""Stage `audit`: shortcuts, leaks, duplicates, balance."""
