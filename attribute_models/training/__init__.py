"""Training of the embedded face networks."""
