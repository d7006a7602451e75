"""`fairforge attributes` and `verification-policy`."""
