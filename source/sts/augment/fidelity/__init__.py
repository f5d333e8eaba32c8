"""How real synthetic rows are: against training cells, held-out cells, and both of these."""
