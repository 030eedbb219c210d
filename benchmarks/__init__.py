"""Measures the gateway, next to peers that do the same without it: `python -m benchmarks --help`.

Machines are noisy: rounds of ours and of the peer take turns, and ratios are what to quote. Every benchmark
checks that what has arrived is what was sent, all of it and in order.
"""
