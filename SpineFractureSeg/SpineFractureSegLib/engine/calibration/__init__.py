"""Chooses on validation cases what training leaves open: temperature, threshold, smallest lesion, plane weights."""
