"""Which cells there are: labels, splits, tables, the sweep store; built and checked."""
