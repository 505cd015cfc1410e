"""Items for a model: ranges and columns are brought to the model's own, and what cannot be is refused."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from aez.codec.errors import InvalidArgument
from aez.codec.vectors.items import items_of_array
from aez.codec.vectors.model import Autoencoder, load_autoencoder
from tests.kit.made_once import MadeOnce
from tests.kit.rings import rings
from tests.kit.small_autoencoders import small_autoencoders

BYTES = rings(30)
SHARES = (BYTES / 255).astype(np.float32)
TABLE = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
NAMES = tuple("abcdefgh")


@pytest.fixture(scope="module")
def of_bytes(made_once: MadeOnce) -> Autoencoder:
    """A model of pictures in 0..255."""
    return load_autoencoder(small_autoencoders(made_once)["dense"], "cpu")


@pytest.fixture(scope="module")
def of_shares(of_bytes: Autoencoder) -> Autoencoder:
    """One of pictures in 0..1, as far as reading goes."""
    model = copy(of_bytes)
    model.range = (0.0, 1.0)
    return model


@pytest.fixture(scope="module")
def of_columns(made_once: MadeOnce) -> Autoencoder:
    """A model of a table with names."""
    model = load_autoencoder(small_autoencoders(made_once)["pca"], "cpu")
    model.columns = NAMES
    return model


def test_pictures_are_brought_to_the_models_range(of_bytes: Autoencoder, of_shares: Autoencoder) -> None:
    for given in (BYTES, BYTES.astype(np.float32), BYTES.astype(np.int64), SHARES):
        np.testing.assert_allclose(of_bytes.values(items_of_array(given)), BYTES, rtol=1e-6)
    for given in (BYTES, SHARES):
        np.testing.assert_allclose(of_shares.values(items_of_array(given)), SHARES, rtol=1e-6)
    large = items_of_array(np.tile(SHARES, (1, 2, 2)))
    np.testing.assert_allclose(of_bytes.in_range(large), np.tile(BYTES, (1, 2, 2)), rtol=1e-6)


def test_pictures_outside_the_range_are_refused(of_bytes: Autoencoder, of_shares: Autoencoder) -> None:
    for model, wrong in ((of_shares, SHARES * 200), (of_bytes, SHARES * 300), (of_bytes, SHARES - 1)):
        with pytest.raises(InvalidArgument, match=r"and values lie in .*; scale or clip them"):
            model.values(items_of_array(wrong))


def test_columns_are_taken_by_their_names(of_columns: Autoencoder) -> None:
    turned = items_of_array(TABLE[:, ::-1], "t.csv", NAMES[::-1])
    np.testing.assert_array_equal(of_columns.values(turned), TABLE)
    np.testing.assert_array_equal(of_columns.values(items_of_array(TABLE)), TABLE)
    with pytest.raises(InvalidArgument, match="takes the columns a, b, c, d, e, f, g, h, and 'h' is not among"):
        of_columns.values(replace(turned, columns=("z", *NAMES[:7])))
    more = items_of_array(np.hstack([TABLE, TABLE[:, :1]]), "t.csv", (*NAMES, "id"))
    with pytest.raises(InvalidArgument, match="vectors of 9 numbers; leave out what it does not know with --ignore id"):
        of_columns.values(more)
