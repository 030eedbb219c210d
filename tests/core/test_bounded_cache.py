from __future__ import annotations

from gateway.core.bounded_cache import put


def test_a_full_cache_is_emptied_before_it_grows_further() -> None:
    cache: dict[object, object] = {}
    largest = 0
    for number in range(45_000):
        put(cache, number, number)
        largest = max(largest, len(cache))
    assert largest == 20_000
    assert cache[44_999] == 44_999
    assert len(cache) == 5_000


def test_a_text_of_great_length_is_not_stored() -> None:
    cache: dict[object, object] = {}
    put(cache, "x" * 501, 1)
    put(cache, "x" * 500, 2)
    put(cache, ("x" * 501, "y"), 3)
    put(cache, b"x" * 501, 4)
    put(cache, b"x" * 500, 5)
    assert cache == {"x" * 500: 2, ("x" * 501, "y"): 3, b"x" * 500: 5}
