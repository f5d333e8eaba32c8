"""Which cells there are: labels, tables and the sweep store."""
