"""What is said where the packages of an extra are missing."""

from __future__ import annotations

import pickle

import pytest

from fhe_face.extras import MissingExtra, require_extra
from fhe_face.failures import describe


def test_what_is_missing_is_named_with_the_remedy() -> None:
    require_extra("this", "client", "numpy", "rich")
    with pytest.raises(MissingExtra) as caught:
        require_extra("the service", "service", "numpy", "no_such_a", "no_such_b")
    text = "the service needs no_such_a, no_such_b: pip install 'fhe-face[service]'"
    assert str(caught.value) == str(describe(caught.value)) == text
    assert describe(caught.value).status == 1
    assert isinstance(caught.value, ImportError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == text
