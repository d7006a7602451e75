"""Stage `sample`: candidate faces from a generator, from photographs, or both."""
