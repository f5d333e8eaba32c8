"""Try settings on folds, for any score(settings, fold): it knows no model."""
