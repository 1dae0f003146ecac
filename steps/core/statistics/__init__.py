"""Intervals, paired tests, repeats and agreement: arrays in, small frozen results out."""
