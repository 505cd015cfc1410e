"""The codecs that ours is measured against, one by one, and files of a wanted size."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aez.bench.pictures.codecs import PictureCodec, encode_to_size, standard_peers
from aez.codec.errors import InvalidArgument
from aez.codec.image.distortion import psnr
from tests.kit.toy_codecs import toy, waves


@given(nbytes=st.integers(1, 9000), step=st.sampled_from([0.25, 1.0, 7.0]))
def test_encode_to_size_finds_the_last_quality_that_fits(nbytes: int, step: float) -> None:
    sizes = {1 + i * step: 40 + 3 * i * i for i in range(int(99 / step) + 1)}
    codec = toy(encode=lambda _image, quality: bytes(sizes[quality]), step=step)
    found = encode_to_size(codec, waves(8, 8), nbytes)
    fitting = [quality for quality, size in sizes.items() if size <= nbytes]
    if found is None:
        assert not fitting
    else:
        assert found.quality == max(fitting)
        assert len(found.data) == sizes[found.quality]


def test_encode_to_size_wants_a_size() -> None:
    with pytest.raises(InvalidArgument, match="positive"):
        encode_to_size(toy(), waves(), 0)


@pytest.mark.parametrize("peer", standard_peers(), ids=lambda peer: str(peer.name))
def test_every_peer_codes_pictures(peer: PictureCodec) -> None:
    if not peer.available():
        pytest.skip(f"{peer.name} needs {peer.missing()}")
    image = waves(67, 90)
    assert list(peer.qualities) == sorted(set(peer.qualities))
    assert peer.lowest <= peer.qualities[0] < peer.qualities[-1] <= peer.highest
    files = [peer.encode(image, quality) for quality in (peer.qualities[0], peer.qualities[-1])]
    decoded = [peer.decode(data) for data in files]
    assert len(files[0]) < len(files[1])
    assert all(picture.shape == image.shape and picture.dtype == np.uint8 for picture in decoded)
    assert psnr(image, decoded[0]) < psnr(image, decoded[1])
    assert psnr(image, decoded[1]) > 30
    for quality in (peer.lowest, peer.highest):
        assert peer.decode(peer.encode(image, quality)).shape == image.shape


def test_the_standard_peers_have_their_settings() -> None:
    peers = {peer.name: peer for peer in standard_peers()}
    assert list(peers) == ["JPEG", "WebP", "AVIF 4:2:0", "AVIF 4:4:4", "JPEG 2000", "JPEG XL"]
    image = waves()
    # 4:4:4 keeps the colour of a chequerboard of single pixels, 4:2:0 cannot.
    image[::2, ::2] = (255, 0, 0)
    image[1::2, 1::2] = (0, 0, 255)
    kept, halved = (peers[f"AVIF {s}"] for s in ("4:4:4", "4:2:0"))
    if kept.available():
        assert psnr(image, kept.decode(kept.encode(image, 92))) > 5 + psnr(
            image, halved.decode(halved.encode(image, 92))
        )
    assert peers["JPEG"].available()
    # JPEG 2000 decorrelates the colours: three equal channels cost it little more than one.
    if peers["JPEG 2000"].available():
        grey = np.repeat(waves(128, 128)[:, :, :1], 3, axis=2)
        ours, theirs = (encode_to_size(peers[name], grey, 4000) for name in ("JPEG 2000", "JPEG"))
        assert ours is not None
        assert theirs is not None
        assert psnr(grey, peers["JPEG 2000"].decode(ours.data)) > psnr(grey, peers["JPEG"].decode(theirs.data))


def test_grey_pictures_are_stored_as_grey() -> None:
    grey = np.repeat(waves(64, 64)[:, :, :1], 3, axis=2)
    peers = {p.name: p for p in standard_peers() if p.available()}
    with Image.open(io.BytesIO(peers["JPEG"].encode(grey, 50))) as image:
        assert image.mode == "L"
    for peer in peers.values():
        decoded = peer.decode(peer.encode(grey, peer.qualities[-1]))
        assert decoded.shape == grey.shape
        assert psnr(grey, decoded) > 35
