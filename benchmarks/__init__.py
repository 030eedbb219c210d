"""Measures the gateway, next to peers that do the same without it: `python -m benchmarks --help`.

Machines are noisy, so rounds of the gateway and of its peers alternate; quote ratios rather than absolute figures.
Every benchmark checks that everything that was sent has arrived, in order.
"""
