"""What the exporter gives, and that the tests' way of tracing a network once gives the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from aez.export.common.to_onnx import serialize, tidy, to_onnx
from tests.kit.made_once import MadeOnce
from tests.kit.traced_once import trace_once


class Net(nn.Module):
    """Weights that are used as they are and folded ones, a setting, and a tensor that is no weight."""

    def __init__(self, seed: int, factor: float = 2.0, shift: float = 0.5) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.log_gain = nn.Parameter(torch.randn(4))
        self.register_buffer("mean", torch.randn(3, 1, 1))
        self.factor = factor
        self.shift = torch.full((4, 1, 1), shift)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x - self.mean)
        return self.factor * y * self.log_gain.exp()[:, None, None] + self.shift


def export(module: nn.Module) -> onnx.ModelProto:
    x = torch.zeros(1, 3, 16, 24)
    dynamic = {2: 8 * torch.export.Dim("rows", min=1, max=64), 3: 8 * torch.export.Dim("columns", min=1, max=64)}
    model = to_onnx(module, {"x": x}, ["y"], [dynamic])
    tidy(model, "net")
    return model


def output(model: onnx.ModelProto, x: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(serialize(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x.numpy()})[0])


def test_a_network_traced_once_is_what_the_exporter_gives_for_all_weights_and_settings(tmp_path: Path) -> None:
    made_once = MadeOnce(tmp_path)
    x = torch.randn(2, 3, 24, 16)[:1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", getattr(torch.onnx.export, "given", torch.onnx.export))
        directly = export(Net(1))
        trace_once(patch, made_once)
        for net, traces in [(Net(0), 1), (Net(1), 1), (Net(1, factor=3.0), 2), (Net(1, shift=1.5), 3), (Net(2), 3)]:
            model = export(net)
            assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == traces
            np.testing.assert_allclose(output(model, x), net(x).detach().numpy(), rtol=1e-4, atol=1e-5)
            if traces == 1 and torch.equal(net.log_gain, Net(1).log_gain):
                assert [node.op_type for node in model.graph.node] == [node.op_type for node in directly.graph.node]
                assert output(model, x).tobytes() == output(directly, x).tobytes()
    assert not any("exp" in node.op_type.lower() for node in directly.graph.node)
