"""The steps of the pipeline: one file per entry point of MLproject."""
