"""The six networks that the paper's Table 2 compares the proposed one with, one file each.

All take slices whose height and width are multiples of 16, of any number of channels, and answer any outputs.
``NetworkConfig.width`` is the number of channels at full resolution (DeepLabv3+: of its first convolution): 64 is that
of the publications, SpineGAN's is 32. Normalization is batch norm, and weights start at random: neither the paper nor
this project has pretrained ones for slices of CT.

Marks: *original* is stated in the network's own publication; *ours* is where it had to be changed or is silent.
"""
