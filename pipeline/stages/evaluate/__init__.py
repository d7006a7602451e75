"""Stage `evaluate`: scores, their floors, and what is measured of them."""
