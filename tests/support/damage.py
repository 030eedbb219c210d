"""What a bad wire does to bytes: seeded, so that a failure comes again."""

from __future__ import annotations

import random


def flip_bits(data: bytes, share: float, seed: int) -> bytes:
    """Flip each bit with the probability `share`."""
    chance = random.Random(seed)
    damaged = bytearray(data)
    for index in range(8 * len(data)):
        if chance.random() < share:
            damaged[index // 8] ^= 1 << index % 8
    return bytes(damaged)


def lose_bytes(data: bytes, share: float, seed: int) -> bytes:
    """Lose each byte with the probability `share`."""
    chance = random.Random(seed)
    return bytes(byte for byte in data if chance.random() >= share)


def noise(size: int, seed: int, *, without: bytes = b"") -> bytes:
    """Return random bytes, none of them one of `without`."""
    chance = random.Random(seed)
    allowed = bytes(byte for byte in range(256) if byte not in without)
    return bytes(chance.choices(allowed, k=size))
