"""The commands of data_pipeline.py, a module for each group of them."""
