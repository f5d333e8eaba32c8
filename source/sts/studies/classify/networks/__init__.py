"""The stages behind sts_pipeline.py: train, test, explain, predict."""
