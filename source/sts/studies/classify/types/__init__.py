"""What --types is made of: the cells on the tree, its cross-validation, and how it is told."""
