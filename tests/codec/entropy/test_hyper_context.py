"""Contexts of hyper-latents: what is known when they are needed, against a second implementation in Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from aez.codec.entropy.hyper_context import CONTEXTS, PHASES, contexts, table_indices
from aez.codec.entropy.tables import SYMBOL_LIMIT
from tests.kit import reference_decoder

SHAPES = [(1, 1, 1), (2, 1, 7), (2, 7, 1), (1, 1, 2), (1, 2, 1), (3, 2, 2), (1, 3, 3), (2, 8, 5)]
#: Table numbers that name context and channel: 8 * channel + context + 1.
NUMBERS = (8 * np.arange(4) + np.arange(CONTEXTS)[:, None] + 1).astype(np.uint8)


@st.composite
def hyper_latents(draw: st.DrawFn, size: int = 5) -> NDArray[np.int32]:
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)))
    return draw(hnp.arrays(np.int32, shape, elements=st.integers(-size, size)))


def all_indices(z: NDArray[np.int32]) -> list[NDArray[np.uint8]]:
    return [table_indices(z, phase, NUMBERS[:, : len(z)]) for phase in range(PHASES)]


def phase_of(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The phase of each position, [h, w]."""
    return np.array([[reference_decoder.hyper_phase(i, j) for j in range(shape[-1])] for i in range(shape[-2])])


def context_of(z: NDArray[np.int32]) -> NDArray[np.int64]:
    """What `contexts` yields for all positions of z, put together; each is written once."""
    found = np.full(z.shape, -1)
    for phase in range(PHASES):
        for row, column, context in contexts(z, phase):
            assert (found[..., row::2, column::2] == -1).all()
            assert context.shape == found[..., row::2, column::2].shape
            found[..., row::2, column::2] = context
    return found


def slow_contexts(z: NDArray[np.int32]) -> NDArray[np.int64]:
    planes = [plane.tolist() for plane in z]
    found = [reference_decoder.hyper_context(planes[c], row, column) for c, row, column in np.ndindex(z.shape)]
    return np.array(found).reshape(z.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_position_belongs_to_one_phase(shape: tuple[int, int, int]) -> None:
    coded = np.array([index > 0 for index in all_indices(np.zeros(shape, np.int32))])
    assert (coded.sum(axis=0) == 1).all()
    np.testing.assert_array_equal(coded.argmax(axis=0), np.broadcast_to(phase_of(shape), shape))


@given(hyper_latents())
def test_contexts_are_those_of_the_slow_implementation(z: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(context_of(z), slow_contexts(z))


@given(hyper_latents(size=SYMBOL_LIMIT - 1))
def test_so_they_are_for_the_largest_symbols(z: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(context_of(z), slow_contexts(z))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("value", [SYMBOL_LIMIT - 1, 1 - SYMBOL_LIMIT])
def test_equal_symbols_have_the_outermost_context_even_at_the_edges(shape: tuple[int, int, int], value: int) -> None:
    found = context_of(np.full(shape, value, np.int32))
    later = np.broadcast_to(phase_of(shape) > 0, shape)
    assert (found[later] == (7 if value > 0 else 1)).all()
    assert not found[~later].any()


@given(hyper_latents(), st.data())
def test_a_phase_depends_on_the_phases_before_and_on_nothing_else(z: NDArray[np.int32], data: st.DataObject) -> None:
    other = data.draw(hnp.arrays(np.int32, z.shape, elements=st.integers(-5, 5)))
    for phase in range(PHASES):
        mixed = np.where(phase_of(z.shape) < phase, z, other).astype(np.int32)
        numbers = NUMBERS[:, : len(z)]
        np.testing.assert_array_equal(table_indices(mixed, phase, numbers), table_indices(z, phase, numbers))


@given(hyper_latents())
def test_channels_have_contexts_of_their_own(z: NDArray[np.int32]) -> None:
    alone = np.concatenate([context_of(z[channel : channel + 1]) for channel in range(len(z))])
    np.testing.assert_array_equal(context_of(z), alone)


@given(hyper_latents())
def test_table_indices_are_the_numbers_of_context_and_channel(z: NDArray[np.int32]) -> None:
    indices = all_indices(z)
    assert all(index.dtype == np.uint8 for index in indices)
    expected = 8 * np.arange(len(z))[:, None, None] + slow_contexts(z) + 1
    np.testing.assert_array_equal(np.sum(indices, axis=0, dtype=int), expected)


@given(hyper_latents())
def test_a_batch_has_the_contexts_of_its_pictures(z: NDArray[np.int32]) -> None:
    batch = np.stack([z, -z, z[:, ::-1]])
    np.testing.assert_array_equal(context_of(batch), np.stack([context_of(one) for one in batch]))


@given(hyper_latents())
def test_rows_and_columns_count_alike(z: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(context_of(z.swapaxes(1, 2)), context_of(z).swapaxes(1, 2))


@pytest.mark.parametrize(
    ("neighbours", "context"),
    [
        ((0, 0, 0, 0), 4),
        ((1, 0, 0, 0), 5),  # 1/4 lies halfway between 0 and 1/2 and goes up
        ((-1, 0, 0, 0), 4),  # so does -1/4
        ((1, 1, 0, 0), 5),
        ((1, 1, 1, 0), 6),
        ((1, 1, 1, 1), 6),
        ((2, 1, 1, 1), 7),
        ((-1, -1, 0, 0), 3),
        ((-1, -1, -1, 0), 3),
        ((-1, -1, -1, -1), 2),
        ((-2, -1, -1, -1), 2),
        ((-2, -2, -1, -1), 1),
        ((90, 90, -90, -90), 4),
        ((-400, 0, 0, 0), 1),
    ],
)
def test_worked_examples_in_halves(neighbours: tuple[int, int, int, int], context: int) -> None:
    diagonal, direct = np.zeros((2, 1, 4, 4), np.int32)
    diagonal[0, 0:3:2, 0:3:2] = np.reshape(neighbours, (2, 2))
    assert context_of(diagonal)[0, 1, 1] == context
    direct[0, 0, 1], direct[0, 1, 0], direct[0, 1, 2], direct[0, 2, 1] = neighbours
    # A position of the third phase, whose row is odd and column even, is (1, 2) of the same picture shifted by one.
    assert context_of(np.roll(direct, 1, axis=2))[0, 1, 2] == context


def test_neighbours_beyond_the_edge_do_not_count() -> None:
    z = np.zeros((1, 2, 2), np.int32)
    z[0, 0, 0], z[0, 1, 1] = 1, 2
    # (1, 1) has one neighbour, of 1; the others have two, of 1 and 2, whose mean rounds to 3/2.
    assert context_of(z)[0].tolist() == [[0, 7], [7, 6]]
    row = np.array([[[1, 0, 2, 0]]], np.int32)
    assert context_of(row)[0].tolist() == [[0, 7, 0, 7]]
