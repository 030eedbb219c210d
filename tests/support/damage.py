"""Damage that a bad line does to bytes: seeded, so that a failure can be reproduced."""

from __future__ import annotations

import random


def flip_bits(data: bytes, share: float, seed: int) -> bytes:
    """Flip each bit with the probability `share`."""
    generator = random.Random(seed)
    damaged = bytearray(data)
    for index in range(8 * len(data)):
        if generator.random() < share:
            damaged[index // 8] ^= 1 << index % 8
    return bytes(damaged)


def lose_bytes(data: bytes, share: float, seed: int) -> bytes:
    """Lose each byte with the probability `share`."""
    generator = random.Random(seed)
    return bytes(byte for byte in data if generator.random() >= share)


def noise(size: int, seed: int, *, without: bytes = b"") -> bytes:
    """Return random bytes, none of them one of `without`."""
    generator = random.Random(seed)
    allowed = bytes(byte for byte in range(256) if byte not in without)
    return bytes(generator.choices(allowed, k=size))
