"""The steps of a fetch."""
