"""The thirteen convolutions of VGG-16, which FCN-8s and SegNet begin with."""

from torch import nn

from SpineFractureSegLib.engine.network.layers import conv_norm_relu

CONVS = (2, 2, 3, 3, 3)  # per block
FACTORS = (1, 2, 4, 8, 8)  # channels of a block over the first one's


def vgg16_blocks(inputs: int, width: int) -> nn.ModuleList:
    """Five blocks of 3x3 convolutions, to be pooled between: (B, inputs, H, W) -> (B, 8 width, ., .) at last.

    Source: configuration D of Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015, width 64: original; batch norm, as SegNet has it: ours in FCN-8s.
    """
    blocks, previous = [], inputs
    for convs, factor in zip(CONVS, FACTORS, strict=True):
        block = nn.Sequential()
        for _ in range(convs):
            block.append(conv_norm_relu(previous, factor * width))
            previous = factor * width
        blocks.append(block)
    return nn.ModuleList(blocks)
