"""The stages behind baseline_pipeline.py: train, test, predict."""
