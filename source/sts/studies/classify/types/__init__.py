"""The parts of --types: the cells on the tree, its cross-validation, and its report."""
