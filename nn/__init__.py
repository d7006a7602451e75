"""What every package that uses torch shares; knows nothing of faces."""
