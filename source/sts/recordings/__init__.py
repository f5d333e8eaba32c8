"""A file or a model becomes a Recording: NWB2 files and simulated cells."""
