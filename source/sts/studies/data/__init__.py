"""The studies of data_pipeline.py: fetch, simulate, show, compare, import-models, doctor."""
