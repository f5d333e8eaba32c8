"""Classifiers of tables as estimators of scikit-learn, their files and their explanations."""
