"""From a network to a bundle that codes pictures, and back."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import aez
from aez.codec.bundle.bundle import Bundle
from aez.codec.container.image_header import ImageHeader
from aez.codec.container.reader import Reader
from aez.codec.entropy.quality import quality_to_level
from aez.codec.errors import ModelError
from aez.codec.image.model import Geometry, ImageModel
from aez.codec.image.tiles import decode_latents
from aez.export.hyperprior.graphs import round_stored_weights
from aez.export.hyperprior.integer import IntegerConv, prove_exact
from aez.export.hyperprior.network import PHASES, join_phases, take_phase
from aez.export.photo.bundle import analysis_halo, costs, export_photo, network_from_bundle, synthesis_halo
from aez.export.photo.network import PhotoConfig, PhotoNetwork
from tests.kit.places import TINY
from tests.kit.small_photo import SMALL, Exported, make_network, make_pictures


@pytest.mark.slow
def test_the_bundle_states_what_decoding_needs(exported: Exported) -> None:
    bundle = Bundle.open(exported.path)
    assert (bundle.id, bundle.name, bundle.task) == (exported.id, "small", "image-codec")
    coding = bundle.coding
    assert (coding["alignment"], coding["latent_stride"], coding["hyper_stride"]) == (32, 8, 32)
    assert coding["state_stride"] == 16
    assert (coding["channels"], coding["hyper_channels"], coding["level_max"]) == (96, 4, 2048)
    assert coding["state_channels"] == SMALL.hyper_width
    assert coding["phases"] == [[[0, 0]], [[1, 1]], [[0, 1], [1, 0]]]
    assert bundle.array("hyper_numbers").shape == (9, 8, 4)
    assert set(coding["decoder_members"]) < set(bundle.members)
    assert set(bundle.members) - set(coding["decoder_members"]) == {"analysis.onnx", "other_weights.npy"}
    assert bundle.manifest["provenance"]["data"] == "noise"
    assert bundle.manifest["provenance"]["network"] == SMALL.as_dict()
    assert bundle.manifest["figures"] == {"psnr": 30.0, "network": costs(exported.network)}


@pytest.mark.slow
def test_the_codec_and_the_network_mean_the_same_phases(exported: Exported) -> None:
    geometry = Geometry.of(exported.bundle.coding)
    y = torch.randn(1, geometry.channels, 6, 10, generator=torch.Generator().manual_seed(0))
    together = np.empty_like(y[0].numpy())
    for number in range(len(PHASES)):
        part = take_phase(y, number)[0].numpy()
        np.testing.assert_array_equal(geometry.take_phase(y[0].numpy(), number), part)
        geometry.put_phase(together, number, part)
    np.testing.assert_array_equal(together, join_phases([take_phase(y, n) for n in range(len(PHASES))])[0].numpy())


@pytest.mark.slow
@pytest.mark.parametrize("quality", [1, 40, 100])
def test_a_file_holds_what_the_network_evaluates(exported: Exported, quality: float) -> None:
    network = copy.deepcopy(exported.network)
    round_stored_weights(network)
    image = torch.round(make_pictures(1, side=96, seed=3) * 255)
    level = torch.tensor([float(quality_to_level(quality))])
    expected = (network.evaluate(image / 255, level).image * 255)[0].permute(1, 2, 0).numpy()
    pixels = image[0].permute(1, 2, 0).numpy().astype(np.uint8)
    decoded = np.asarray(
        aez.decode(aez.encode(pixels, quality=quality, model=exported.bundle, content="photo"), model=exported.bundle)
    )
    difference = np.abs(decoded.astype(np.float64) - expected)
    assert np.median(difference) < 0.51
    assert np.percentile(difference, 99) < 1.1  # a z or a residual at the rounding edge may fall either way


@pytest.mark.slow
def test_a_file_is_about_as_long_as_the_evaluated_code_length(exported: Exported) -> None:
    image = make_pictures(8)[:1]  # among the pictures that the tables were fitted to
    pixels = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    for quality in (30, 60, 90):
        output = exported.network.evaluate(image, torch.tensor([float(quality_to_level(quality))]))
        bits = float(output.latent_bits + output.hyper_bits)
        assert (
            0.5 * bits
            < 8 * len(aez.encode(pixels, quality=quality, model=exported.bundle, content="photo"))
            < 1.5 * bits + 8 * 100
        )


@pytest.mark.slow
def test_a_network_comes_back_from_its_bundle(exported: Exported) -> None:
    network = network_from_bundle(exported.bundle).eval()
    assert network.config == SMALL
    image, level = make_pictures(3, seed=5), torch.tensor([0.0, 900.0, 2048.0])
    found, expected = network.evaluate(image, level), exported.network.evaluate(image, level)
    assert (found.image - expected.image).abs().mean() < 2e-3  # large weights are stored as float16
    torch.testing.assert_close(found.latent_bits, expected.latent_bits, rtol=0.01, atol=1.0)
    torch.testing.assert_close(found.hyper_bits, expected.hyper_bits, rtol=0.01, atol=1.0)
    stored = copy.deepcopy(exported.network)
    round_stored_weights(stored)
    torch.testing.assert_close(found.image, stored.evaluate(image, level).image, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_exporting_leaves_the_network_as_it_was(exported: Exported) -> None:
    fresh = make_network().state_dict()
    for name, value in exported.network.state_dict().items():
        assert torch.equal(value, fresh[name]), name


@pytest.mark.parametrize("layer", ["layers.1", "contexts.0.mix", "outs.2"])
def test_a_network_whose_scale_path_could_overflow_is_not_exported(layer: str, tmp_path: Path) -> None:
    network = make_network()
    with torch.no_grad():
        cast(IntegerConv, network.scale.get_submodule(layer)).bias[0] = 1e5
    with pytest.raises(ModelError, match=rf"cannot be exported: scale path, {layer}: an accumulator can reach \d+"):
        export_photo(network, tmp_path / "bad.aezm", "bad", [make_pictures(1)], {})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_only_whole_bundles_of_the_family_can_be_trained_on(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Bundle.open(exported.bundle.decoding_half(), half=True)
    with pytest.raises(ModelError, match="model small holds no photo-dct-hyperprior network to train on from"):
        network_from_bundle(half)
    monkeypatch.setattr(PhotoNetwork, "family", "another")
    with pytest.raises(ModelError, match="holds no another network"):
        network_from_bundle(exported.bundle)


@pytest.mark.slow
@pytest.mark.parametrize("network", [{}, {"nonsense": 1}, {"hyper_channels": 5}], ids=str)
def test_a_bundle_whose_sizes_do_not_fit_is_refused(exported: Exported, network: dict[str, int]) -> None:
    bundle = Bundle.open(exported.path)
    bundle.manifest["provenance"]["network"] = network
    with pytest.raises(ModelError, match="model small cannot be trained on from: "):
        network_from_bundle(bundle)


#: Side of a picture, and the rows and columns in its middle, a multiple of every alignment.
SIDE, SQUARE = 480, (224, 256)


def reach(output: Tensor, source: Tensor) -> int:
    """How far beyond the square of `SQUARE` `output` depends on `source` [1, C, h, w], in pixels."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((output * weights).sum(), source, retain_graph=True)
    touched = gradient.abs().amax(dim=(0, 1)) > 0
    cell = SIDE // source.shape[2]
    first, last = SQUARE[0] // cell, SQUARE[1] // cell - 1
    places = torch.cat([touched.any(dim=0).nonzero(), touched.any(dim=1).nonzero()])
    return int(max(first - places.min(), places.max() - last)) * cell


def deep_network(
    analysis_blocks: int, synthesis_blocks: int, coarse_blocks: int, hyper_stride: int = 32
) -> PhotoNetwork:
    config = PhotoConfig(
        hyper_stride=hyper_stride,
        hyper_channels=4,
        hyper_width=8,
        analysis_blocks=analysis_blocks,
        analysis_expansion=1,
        synthesis_blocks=synthesis_blocks,
        synthesis_expansion=1,
        coarse_width=8,
        coarse_blocks=coarse_blocks,
        synthesis_coarse_blocks=coarse_blocks,
    )
    network = make_network(config).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith((".project.weight", ".up.weight")):
                parameter.normal_(std=0.3)
    return network


@pytest.mark.parametrize("hyper_stride", [16, 32])
@pytest.mark.parametrize("blocks", [(1, 1, 1), (2, 3, 2), (3, 2, 1), (4, 4, 3)], ids=str)
def test_the_halos_cover_the_receptive_field_and_hardly_more(blocks: tuple[int, int, int], hyper_stride: int) -> None:
    network = deep_network(*blocks, hyper_stride)
    config = network.config
    level = torch.tensor([1024.0], dtype=torch.float64)
    image = torch.rand(1, 3, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    y = network.analysis(image, level)
    z = network.hyper_analysis(y, level)
    fine, coarse = (slice(SQUARE[0] // stride, SQUARE[1] // stride) for stride in (8, hyper_stride))
    seen = max(reach(y[:, :, fine, fine], image), reach(z[:, :, coarse, coarse], image))
    assert analysis_halo(config) - config.alignment < seen <= analysis_halo(config)
    assert analysis_halo(config) % config.alignment == synthesis_halo(config) % config.alignment == 0

    latent = torch.randn(1, 192, SIDE // 8, SIDE // 8, dtype=torch.float64, requires_grad=True)
    decoded = network.synthesis(latent, level)
    pixels = slice(*SQUARE)
    seen = reach(decoded[:, :, pixels, pixels], latent)
    assert synthesis_halo(config) - config.alignment < seen <= synthesis_halo(config)


@pytest.mark.slow
@torch.no_grad()
def test_tiles_decode_as_the_whole_does_at_their_borders(exported: Exported) -> None:
    """Latents of every tile in one synthesis, and each tile in its halo, as the codec does it."""
    pixels = (make_pictures(1, 256, seed=9)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[:200, :250]
    data = aez.encode(pixels, quality=60, model=exported.bundle, tile=64, content="photo")
    decoded = np.asarray(aez.decode(data, model=exported.bundle))
    model = ImageModel(exported.bundle, "cpu", 1)
    reader = Reader(io.BytesIO(data), ImageHeader)
    header, chunks = reader.header, [chunk for chunk in reader.chunks() if chunk.type == "T"]
    assert (header.tile, header.tiles, len(chunks)) == (64, 16, 16)
    y = np.zeros((96, 224 // 8, 256 // 8), np.float32)
    for chunk in chunks:
        left, top, _, _ = header.box(chunk.tile)
        part = decode_latents(model, chunk.content, header, chunk.tile)
        y[:, top // 8 : top // 8 + part.shape[1], left // 8 : left // 8 + part.shape[2]] = part
    whole = model.synthesis(y, header.level)[:, :200, :250].transpose(1, 2, 0) * 255
    assert np.abs(decoded - whole).max() < 0.51  # half a step of rounding
    region = np.asarray(aez.decode(data, model=exported.bundle, region=(50, 40, 90, 100)))
    assert np.abs(region.astype(int) - decoded[40:140, 50:140]).max() <= 1


def test_the_committed_small_model_opens_and_codes() -> None:
    """`tests/data/tiny.aezm`, which other tests lean on, still belongs to this code."""
    bundle = Bundle.open(TINY)
    network = network_from_bundle(bundle)
    assert (network.config.hyper_stride, network.config.context_blocks) == (16, 0)
    prove_exact(network.scale)
    picture = Image.fromarray(np.full((20, 30, 3), 90, np.uint8))
    decoded = aez.decode(aez.encode(picture, quality=80, model=bundle), model=bundle)
    assert decoded.size == (30, 20)
    assert np.abs(np.asarray(decoded).astype(int) - 90).max() < 8
