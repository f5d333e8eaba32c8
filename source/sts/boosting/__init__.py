"""Classifiers of tables: LightGBM with its contributions, and others under one contract."""
