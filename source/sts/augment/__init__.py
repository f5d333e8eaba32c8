"""Synthetic neurons: generators, what they are worth to classifiers, and how real they are."""
