"""The face of the package: what it shows, and where pickles say that it lies."""

from __future__ import annotations

import inspect
import pickle

import pytest

import aez.export
from aez.export import PictureConfig


@pytest.mark.parametrize("name", aez.export.__all__)
def test_what_the_face_shows_says_that_it_lies_there(name: str) -> None:
    shown = getattr(aez.export, name)
    if inspect.isclass(shown):
        assert pickle.loads(pickle.dumps(shown)) is shown
        assert shown.__module__ == "aez.export"


def test_a_config_is_pickled_by_the_face_alone() -> None:
    config = PictureConfig("pca", size=64, options={"most": 8})
    data = pickle.dumps(config)
    assert pickle.loads(data) == config
    assert b"aez.export." not in data
