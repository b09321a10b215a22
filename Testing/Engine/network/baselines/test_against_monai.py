"""U-Net, U-Net++ and ResNet-50 give MONAI's numbers where both have the same layers and weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from SpineFractureSegLib.engine.network import NetworkConfig, build_network
from SpineFractureSegLib.engine.network.baselines.resnet50 import ResNet50

nets = pytest.importorskip("monai.networks.nets")

WIDTHS = (4, 8, 16, 32, 64, 4)
LAYERS = {"act": ("relu", {"inplace": True}), "norm": "batch", "bias": False}


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Convolutions and batch norms in the order in which both list them."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    ours, theirs = ([m for m in root.modules() if isinstance(m, kinds)] for root in (target, source))
    assert [tuple(m.weight.shape) for m in ours] == [tuple(m.weight.shape) for m in theirs]
    for to, of in zip(ours, theirs, strict=True):
        if to.bias is None and of.bias is not None:  # before a batch norm, which takes it off again
            nn.init.zeros_(of.bias)
        to.load_state_dict({name: of.state_dict()[name] for name in to.state_dict()})


def _with_history(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def test_unet_is_monais_up_to_half_resolution():
    """At full resolution MONAI's last step keeps twice the channels; there ours is the publication's."""
    theirs = _with_history(nets.BasicUNet(spatial_dims=2, in_channels=1, out_channels=1, features=WIDTHS, **LAYERS))
    ours = build_network(NetworkConfig(architecture="unet", width=4)).eval()
    blocks = [theirs.conv_0, theirs.down_1, theirs.down_2, theirs.down_3, theirs.down_4]
    for block, down in zip(blocks, ours.down, strict=True):
        _copy(block, down)
    for block, up, merge in zip([theirs.upcat_4, theirs.upcat_3, theirs.upcat_2], ours.up, ours.merge, strict=False):
        _copy(block.upsample, up)
        _copy(block.convs, merge)
    x = torch.rand(2, 1, 32, 48)
    kept = []
    ours.merge[2].register_forward_hook(lambda *call: kept.append(call[2]))
    with torch.no_grad():
        levels = [x]
        for block in blocks:
            levels.append(block(levels[-1]))
        expected = levels[5]
        for block, level in ((theirs.upcat_4, 4), (theirs.upcat_3, 3), (theirs.upcat_2, 2)):
            expected = block(expected, levels[level])
        ours(x)
    torch.testing.assert_close(kept[0], expected, atol=1e-5, rtol=1e-4)


def test_unet_plus_plus_is_monais_where_its_enlarged_maps_are_as_wide():
    """MONAI enlarges to 2 w channels at full resolution, ours to w: with zeros for the surplus both are the same."""
    theirs = _with_history(
        nets.BasicUNetPlusPlus(
            spatial_dims=2, in_channels=1, out_channels=2, features=WIDTHS, deep_supervision=True, **LAYERS
        )
    )
    ours = build_network(NetworkConfig(architecture="unet++", width=4, outputs=("fracture", "vertebra"))).eval()
    for level, down in enumerate(ours.down):
        _copy(getattr(theirs, f"conv_{level}_0"), down)
    for column, (ups, merges) in enumerate(zip(ours.up, ours.merge, strict=True), start=1):
        for level, (up, merge) in enumerate(zip(ups, merges, strict=True)):
            block = getattr(theirs, f"upcat_{level}_{column}")
            if level == 0:
                _drop_surplus(block, up, merge)
            else:
                _copy(block.upsample, up)
                _copy(block.convs, merge)
        ours.outputs[column - 1].load_state_dict(getattr(theirs, f"final_conv_0_{column}").state_dict())
    x = torch.rand(2, 1, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), torch.stack(theirs(x)).mean(0), atol=1e-5, rtol=1e-4)


def _drop_surplus(block: nn.Module, up: nn.ConvTranspose2d, merge: nn.Sequential) -> None:
    """Gives ours the first half of MONAI's enlarged channels, whose second half is never heard again."""
    theirs, first = (next(m for m in part.modules() if hasattr(m, "weight")) for part in (block.upsample, block.convs))
    kept = up.out_channels
    with torch.no_grad():
        first.weight[:, -kept:] = 0
        up.weight.copy_(theirs.weight[:, :kept])
        up.bias.copy_(theirs.bias[:kept])
        conv = merge[0][0]
        trimmed = nn.Conv2d(conv.in_channels, conv.out_channels, 3, bias=False)
        trimmed.weight.copy_(first.weight[:, :-kept])
        norms = [m for m in block.convs.modules() if isinstance(m, nn.BatchNorm2d)]
        convs = [m for m in block.convs.modules() if isinstance(m, nn.Conv2d)]
        conv.weight.copy_(trimmed.weight)
        merge[1][0].load_state_dict(convs[1].state_dict())
        for target, norm in zip((merge[0][1], merge[1][1]), norms, strict=True):
            target.load_state_dict(norm.state_dict())


def test_resnet50_is_monais_up_to_the_stage_that_is_dilated():
    theirs = _with_history(
        nets.resnet50(spatial_dims=2, n_input_channels=1, conv1_t_size=7, conv1_t_stride=2, num_classes=1)
    )
    ours = ResNet50(1, 64).eval()
    _copy(nn.Sequential(theirs.conv1, theirs.bn1), ours.stem)
    for stage in range(3):
        for of, to in zip(getattr(theirs, f"layer{stage + 1}"), ours.stages[stage], strict=True):
            _copy(of, to)
    x = torch.rand(1, 1, 64, 96)
    kept = []
    ours.stages[2].register_forward_hook(lambda *call: kept.append(call[2]))
    with torch.no_grad():
        expected = F.max_pool2d(F.relu(theirs.bn1(theirs.conv1(x))), 3, 2, 1)
        low = theirs.layer1(expected)
        expected = theirs.layer3(theirs.layer2(low))
        found, high = ours(x)
    torch.testing.assert_close(found, low, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(kept[0], expected, atol=1e-4, rtol=1e-3)
    assert high.shape[2:] == kept[0].shape[2:]  # its last stage does not halve
