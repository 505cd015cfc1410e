"""A photo network of other sizes starts from what a trained one knows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from aez.codec.errors import InvalidArgument
from aez.export.hyperprior.integer import index_to_sigma
from aez.export.photo.network import PhotoConfig, PhotoNetwork, kept_coefficients
from aez.export.photo.resizing import mix, resized, set_finer_colours
from tests.kit.small_photo import FORMER, SMALL, make_network, make_pictures


def test_a_network_of_other_sizes_takes_the_weights_that_fit() -> None:
    usual = make_network()
    smaller = replace(SMALL, hyper_width=8, synthesis_coarse_width=4)
    found = resized(usual, smaller)
    assert found.config == smaller
    before, after = usual.state_dict(), found.state_dict()
    same = {name for name in after if after[name].shape == before[name].shape}
    assert {"analysis.embed.weight", "synthesis.unembed.bias", "analysis.std", "log_gain.values"} <= same
    assert all(torch.equal(after[name], before[name]) for name in same)
    assert torch.equal(after["synthesis.coarse.down.weight"], before["synthesis.coarse.down.weight"][:4])
    larger = resized(usual, replace(SMALL, coarse_width=16)).state_dict()
    assert larger["analysis.coarse.down.weight"].shape[0] == 16
    assert not torch.equal(larger["analysis.coarse.down.weight"][:8], before["analysis.coarse.down.weight"])


def test_a_mean_of_two_networks_lies_between_them() -> None:
    one, other, changed = make_network(), make_network(), make_network()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 1
    mix(changed, other, 0.25)
    for name, value in changed.state_dict().items():
        before, after = one.state_dict()[name], other.state_dict()[name]
        assert torch.allclose(value, (before + 0.25 * (after - before)).to(value.dtype), atol=1e-6), name
    with pytest.raises(InvalidArgument, match="of the same sizes"):
        mix(one, make_network(replace(SMALL, hyper_width=8)), 0.5)


@torch.no_grad()
def test_a_network_with_other_lambdas_has_those_of_its_levels() -> None:
    usual = make_network()
    ratio = usual.config.lambda_max / usual.config.lambda_min
    wider = resized(usual, replace(SMALL, lambda_max=usual.config.lambda_min * ratio**1.25)).eval()
    image = make_pictures(2)
    for knot in (0, 4):  # level 1024 of the one is 1280 of the other, where both have a knot
        before = usual.symbols(image, torch.full((2,), knot * 320.0))
        after = wider.symbols(image, torch.full((2,), knot * 256.0))
        assert usual.config.lambda_at(torch.tensor(knot * 320.0)) == pytest.approx(
            wider.config.lambda_at(torch.tensor(knot * 256.0))
        )
        for one, other in zip(before, after, strict=True):
            assert float((one != other).float().mean()) < 1e-3
    assert (wider.log_gain.values[-1] > usual.log_gain.values[-1]).all()


@pytest.mark.parametrize("config", [SMALL, FORMER], ids=["usual", "former"])
@torch.no_grad()
def test_a_network_with_fewer_colour_coefficients_codes_the_others_alike(config: PhotoConfig) -> None:
    usual = make_network(replace(config, chroma_coefficients=16))
    smaller = replace(config, chroma_coefficients=9)
    found = resized(usual, smaller).eval()
    kept = torch.isin(kept_coefficients(usual.config), kept_coefficients(smaller))
    image, level = make_pictures(2), torch.tensor([100.0, 1500.0])
    (residual, index, z), (fewer, fewer_indices, same_z) = (net.symbols(image, level) for net in (usual, found))
    assert torch.equal(z, same_z)
    # The first phase sees the hyper-latent alone; later ones would miss what is not coded any more.
    assert torch.equal(fewer[:, :, ::2, ::2], residual[:, kept, ::2, ::2])
    assert torch.equal(fewer_indices[:, :, ::2, ::2], index[:, kept, ::2, ::2])
    usual.mean.contexts[0].enter.weight[:, ~kept] = 0  # what it would miss, taken away
    if config.context_blocks:
        usual.mean.contexts[0].enter_size.weight[:, ~kept] = 0
    usual.scale.contexts[0].enter.weight[:, SMALL.hyper_width :][:, ~kept] = 0
    residual, index, _ = usual.symbols(image, level)
    assert torch.equal(fewer[:, :, 1::2, 1::2], residual[:, kept, 1::2, 1::2])
    assert torch.equal(fewer_indices[:, :, 1::2, 1::2], index[:, kept, 1::2, 1::2])


@torch.no_grad()
def test_a_network_of_the_former_design_becomes_one_of_the_present() -> None:
    former = make_network(FORMER)
    found = resized(former, SMALL).eval()
    before, after = former.state_dict(), found.state_dict()
    for name in after:
        if name.startswith(("analysis.", "synthesis.", "log_gain.", "log_inverse_gain.", "density.")):
            assert torch.equal(after[name], before[name]), name
    new = PhotoNetwork(SMALL)
    assert all(torch.equal(after[name], new.state_dict()[name]) for name in after if name.endswith("enter_size.weight"))
    residual, _, z = found.symbols(make_pictures(2), torch.tensor([100.0, 1500.0]))
    assert (residual.shape, z.shape) == ((2, 96, 8, 8), (2, 4, 2, 2))


@torch.no_grad()
def test_finer_colours_change_the_steps_of_smooth_colours_at_low_qualities_and_their_scales_with_them() -> None:
    before, after = make_network(), make_network()
    set_finer_colours(after, 0.8)
    colours = [64, 64 + SMALL.chroma_coefficients]
    others = [channel for channel in range(SMALL.channels) if channel not in colours]
    for level in (0.0, 700.0, 1100.0):
        at = torch.tensor([level])
        ratio = (after.gain(at) / before.gain(at)).flatten()
        scales = (index_to_sigma(after.scale.offset) / index_to_sigma(before.scale.offset))[int(level) // 256]
        finer = 1.25 if level < 768 else 1.0
        for found in (ratio, scales):
            torch.testing.assert_close(found[colours], torch.full((2,), finer))
            torch.testing.assert_close(found[others], torch.ones(len(others)))
    image = make_pictures(1)
    low, high = torch.tensor([100.0]), torch.tensor([1500.0])
    assert not torch.equal(before.symbols(image, low)[0], after.symbols(image, low)[0])
    assert torch.equal(before.symbols(image, high)[0], after.symbols(image, high)[0])
