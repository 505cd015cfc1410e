"""LSTM, sequence to sequence: one reads the window into its state, another writes it out again, backwards."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from aez.export.families.base import Family, within


class Lstm(Family):
    """An encoder's last state, squeezed to `latent` numbers, feeds a decoder at every step.

    The decoder gives the window in reverse, from its newest sample on, of which the state remembers most (Malhotra et
    al. 2016, LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection; Srivastava et al. 2015). It never sees the
    window itself, so training and scoring are the same.
    """

    family: ClassVar[str] = "lstm"

    def __init__(self, window: int, channels: int, *, hidden: int = 64, latent: int = 32) -> None:
        super().__init__(window, channels)
        within("hidden", hidden, 1, 1024)
        within("latent", latent, 1, 1024)
        self.encoder = nn.LSTM(channels, hidden, batch_first=True)
        self.squeeze = nn.Linear(hidden, latent)
        self.decoder = nn.LSTM(latent, hidden, batch_first=True)
        self.leave = nn.Linear(hidden, channels)
        self.check_size()

    def encode(self, x: Tensor, present: Tensor) -> Tensor:
        del present
        states, _ = self.encoder(x)
        return cast(Tensor, self.squeeze(states[:, -1]))

    def decode(self, latent: Tensor) -> Tensor:
        repeated = latent[:, None].expand(-1, self.window, -1)
        states, _ = self.decoder(repeated)
        return cast(Tensor, self.leave(states)).flip(1)
