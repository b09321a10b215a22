"""Every block: its shapes, and what it must compute."""

import pytest
import torch
from torch.nn import functional as F

from SpineFractureSegLib.engine.network.aspp import AtrousPyramid
from SpineFractureSegLib.engine.network.decoder import Decoder, SkipDecoder
from SpineFractureSegLib.engine.network.encoder import Encoder
from SpineFractureSegLib.engine.network.ffm import FeatureFusion
from SpineFractureSegLib.engine.network.layers import ConcatConv, GlobalAverage, Residual
from SpineFractureSegLib.engine.network.lprab import LocalPositionAttention, WindowAttention
from SpineFractureSegLib.engine.network.merge import LevelMerge
from SpineFractureSegLib.engine.network.rbrab import BorderRefinement, PooledSelfAttention
from SpineFractureSegLib.engine.network.rcbam import ChannelAttention, ResidualAttention, SpatialAttention
from SpineFractureSegLib.engine.network.sem import SqueezeExcitation

WIDTH = 8
LEVEL_CHANNELS = (16, 32, 64, 128)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _levels(channels: tuple[int, ...]) -> list[torch.Tensor]:
    """Maps of E2-E5 of a 48x32 slice."""
    return [torch.randn(2, c, 48 // 2**k, 32 // 2**k) for k, c in enumerate(channels, start=1)]


@pytest.mark.parametrize(
    "block",
    [
        SqueezeExcitation(WIDTH),
        AtrousPyramid(WIDTH),
        Residual(WIDTH),
        ChannelAttention(WIDTH),
        SpatialAttention(),
        ResidualAttention(WIDTH),
        PooledSelfAttention(WIDTH, 8),
        BorderRefinement(WIDTH, 8),
        WindowAttention(WIDTH, 8),
        LocalPositionAttention(WIDTH),
    ],
    ids=lambda block: type(block).__name__,
)
@pytest.mark.parametrize("size", [(16, 16), (48, 32), (16, 80)])
def test_a_block_keeps_channels_and_size(block, size):
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, WIDTH, *size).contiguous(memory_format=memory_format)
        assert block(x).shape == x.shape


def test_encoder_gives_four_levels_of_doubling_channels_and_halving_size():
    encoder = Encoder(inputs=3, width=WIDTH)
    shapes = [tuple(level.shape) for level in encoder(torch.randn(2, 3, 48, 32))]
    assert shapes == [(2, 16, 24, 16), (2, 32, 12, 8), (2, 64, 6, 4), (2, 128, 3, 2)]
    assert encoder.channels == (16, 32, 64, 128)


def test_fusion_gives_every_level_the_width_on_its_own_grid():
    fused = FeatureFusion(LEVEL_CHANNELS, WIDTH)(_levels(LEVEL_CHANNELS))
    assert [tuple(level.shape) for level in fused] == [(2, 8, 24, 16), (2, 8, 12, 8), (2, 8, 6, 4), (2, 8, 3, 2)]


def test_fusion_lets_every_level_hear_every_other():
    fusion = FeatureFusion(LEVEL_CHANNELS, WIDTH).eval()
    levels = [level.requires_grad_() for level in _levels(LEVEL_CHANNELS)]
    for fused in fusion(levels):
        gradients = torch.autograd.grad(fused.sum(), levels, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_merge_equals_resizing_concatenating_and_a_1x1_convolution():
    merge = LevelMerge(WIDTH).eval()
    levels = _levels((WIDTH,) * 4)
    resized = [F.interpolate(level, size=(48, 32), mode="bilinear", align_corners=False) for level in levels]
    weight = torch.cat([share.weight for share in merge.shares], 1)
    expected = F.relu(merge.norm(F.conv2d(torch.cat(resized, 1), weight)))
    torch.testing.assert_close(merge(levels, (48, 32)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3])
def test_concat_conv_equals_the_convolution_of_the_concatenation(kernel):
    conv = ConcatConv(7, 4, kernel, padding=kernel // 2)
    parts = [torch.randn(2, 3, 6, 5), torch.randn(2, 4, 6, 5)]
    expected = F.conv2d(torch.cat(parts, 1), conv.weight, conv.bias, padding=kernel // 2)
    torch.testing.assert_close(conv(parts), expected, atol=1e-5, rtol=1e-5)


def test_concat_conv_spreads_a_single_pixel_over_the_map():
    conv = ConcatConv(7, 4, 1, bias=False)
    image, pixel = torch.randn(2, 3, 6, 5), torch.randn(2, 4, 1, 1)
    expected = F.conv2d(torch.cat([image, pixel.expand(2, 4, 6, 5)], 1), conv.weight)
    torch.testing.assert_close(conv([image, pixel]), expected, atol=1e-5, rtol=1e-5)


def test_global_average_is_the_mean_over_rows_and_columns():
    x = torch.randn(2, 3, 6, 5)
    torch.testing.assert_close(GlobalAverage()(x), x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize("decoder", [Decoder, SkipDecoder])
def test_decoder_returns_to_full_size_with_the_output_channels(decoder):
    assert decoder(WIDTH, outputs=2)(torch.randn(2, WIDTH, 48, 32)).shape == (2, 2, 48, 32)


def test_self_attention_without_pooling_equals_naive_attention():
    attention = PooledSelfAttention(WIDTH, pooling=1)
    attention.gain.data.fill_(0.7)
    x = torch.randn(2, WIDTH, 8, 6)
    tokens = x.flatten(2).transpose(1, 2)
    query, (key, value) = attention.query(tokens), attention.key_value(tokens).chunk(2, -1)
    heard = (query @ key.transpose(1, 2) / WIDTH**0.5).softmax(-1) @ value
    expected = x + 0.7 * heard.transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-5)


def test_pooled_self_attention_hears_the_averages_of_its_cells():
    attention = PooledSelfAttention(WIDTH, pooling=4)
    attention.gain.data.fill_(1.0)
    full = PooledSelfAttention(WIDTH, pooling=1)
    full.load_state_dict(attention.state_dict())
    # In an image that is constant in each 4x4 cell pooled keys lose nothing: 16 equal keys weigh as one.
    x = F.interpolate(torch.randn(2, WIDTH, 3, 2), scale_factor=4)
    torch.testing.assert_close(attention(x), full(x), atol=1e-5, rtol=1e-5)


def test_self_attention_starts_as_the_identity():
    x = torch.randn(2, WIDTH, 16, 16)
    torch.testing.assert_close(PooledSelfAttention(WIDTH, 8)(x), x)


def test_window_attention_hears_its_own_window_only():
    attention = WindowAttention(WIDTH, window=8)
    x = torch.randn(1, WIDTH, 16, 16)
    changed = x.clone()
    changed[:, :, 8:, :8] += 1.0  # the window below on the left
    difference = (attention(changed) - attention(x)).abs().sum((0, 1))
    assert (difference[8:, :8] > 0).all()
    assert difference[:8].sum() == 0
    assert difference[8:, 8:].sum() == 0


def test_window_attention_tells_offsets_apart_by_their_bias():
    attention = WindowAttention(WIDTH, window=4)
    attention.query_key_value.weight.data[: 2 * WIDTH] = 0  # no content in queries and keys: the bias alone decides
    attention.query_key_value.bias.data[: 2 * WIDTH] = 0
    attention.position_bias.data[:] = -50.0
    # Row by row, offsets of -3..3 rows and columns are numbered 0..48: 24 is none, 23 one column to the right.
    attention.position_bias.data[23] = 0.0
    x = torch.randn(1, WIDTH, 4, 4)
    tokens = x.permute(0, 2, 3, 1)
    values = attention.query_key_value(tokens)[..., 2 * WIDTH :]
    heard = (attention(x) - x).permute(0, 2, 3, 1)
    torch.testing.assert_close(heard[:, :, :3], attention.output(values[:, :, 1:]), atol=1e-5, rtol=1e-5)


def test_local_position_attention_knows_where_a_pixel_lies():
    block = LocalPositionAttention(WIDTH).eval()
    out = block(torch.zeros(1, WIDTH, 32, 32))
    assert not torch.allclose(out[..., :8, :8], out[..., 16:24, 16:24], atol=1e-3)  # same content, other windows
