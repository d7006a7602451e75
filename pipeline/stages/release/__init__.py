"""Stage `release`: a folder for other labs."""
