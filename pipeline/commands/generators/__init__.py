"""`fairforge train-generator` and `generator-metrics`."""
