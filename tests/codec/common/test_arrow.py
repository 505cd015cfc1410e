"""Arrays of Arrow as NumPy's, and back."""

import numpy as np
import pyarrow as pa
import pytest

from aez.codec.common.arrow import from_numpy, text_array, to_numpy

KINDS = [pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("start", "end"), [(0, 30), (0, 0), (3, 30), (9, 18), (16, 17)])
def test_it_is_what_pyarrow_gives(kind, start, end):
    array = pa.array([number % 3 == 1 for number in range(30)]).cast(kind)[start:end]
    found = to_numpy(array)
    wanted = array.to_numpy(zero_copy_only=False)
    assert found.dtype == wanted.dtype
    assert found.tolist() == wanted.tolist()
    assert from_numpy(found).equals(array)


@pytest.mark.parametrize(("start", "end"), [(0, 20), (1, 20), (7, 11), (0, 1)])
def test_nulls_become_what_is_asked_for(start, end):
    values = [None if number % 3 == 0 else number for number in range(20)]
    array = pa.array(values, pa.float64())[start:end]
    np.testing.assert_array_equal(to_numpy(array, np.nan), array.to_numpy(zero_copy_only=False))
    whole = pa.array(values, pa.int64())[start:end]
    assert to_numpy(whole, -1).tolist() == [-1 if one is None else one for one in values[start:end]]
    assert to_numpy(whole).tolist() == [one or 0 for one in values[start:end]]
    assert to_numpy(pa.nulls(3, pa.int64())).tolist() == [0, 0, 0]


@pytest.mark.parametrize("text", ["", "a", "21.5 °C"])
def test_one_text(text):
    assert text_array([text]).equals(pa.array([text]))


def test_half_a_character_is_no_text():
    with pytest.raises(UnicodeEncodeError):
        text_array(["\ud800"])
