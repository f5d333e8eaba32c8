"""The stages behind data_pipeline.py: simulate, build, features, show, doctor."""
