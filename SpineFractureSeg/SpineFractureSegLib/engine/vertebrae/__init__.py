"""Vertebrae one by one: instances from the vertebra channel, their heights, grades and names."""
