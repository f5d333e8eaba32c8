"""Classifiers of tables as estimators of scikit-learn, the features they make, and their explanations."""
