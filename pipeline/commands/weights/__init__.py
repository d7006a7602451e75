"""`fairforge weights`."""
