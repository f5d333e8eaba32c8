"""Classifiers of tables behind one contract, the features they make, and their explanations."""
