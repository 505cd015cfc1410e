"""`aez embed` with an autoencoder: a vector for each item, with its name and label."""

from __future__ import annotations

from pathlib import Path

from aez.codec.errors import InvalidArgument
from aez.commands.vectors import opened, shared
from aez.files import Job, check_target


def embed_items(
    data: str,
    output: str,
    model: str,
    device: str,
    threads: int | None,
    *,
    seed: int | None,
    dtype: str,
    force: bool,
    **reading: object,
) -> None:
    """Write the codes of the items of DATA; `seed` is None where means are taken. Raises AezError."""
    import numpy as np

    from aez.codec.vectors.files import VECTOR_SUFFIXES, VectorFile, check_suffix

    check_suffix(output, VECTOR_SUFFIXES)
    check_target(Job(data, output), force)
    autoencoder = opened.open_autoencoder(model, device, threads)
    items, values = opened.read_for(autoencoder, data, shared.reading_of(**reading))  # type: ignore[arg-type]
    codes = autoencoder.encode(values)
    vectors = codes.mean
    if seed is not None:
        if codes.log_variance is None:
            raise InvalidArgument(f"--sample draws from a distribution, and model {autoencoder.bundle.name} gives none")
        noise = np.random.default_rng(seed).standard_normal(vectors.shape, np.float32)
        vectors = (vectors + np.exp(codes.log_variance / 2) * noise).astype(np.float32)
    about = {"model": autoencoder.bundle.name, "model_id": autoencoder.bundle.id, "source": Path(data).as_posix()}
    VectorFile(items.names, items.labels, vectors.astype(dtype), about).write(output, force)
    labelled = "" if items.labels is None else " with labels"
    opened.say_wrote(output, f"{len(items):,} vectors of {vectors.shape[1]:,} numbers{labelled}")
