"""Bytes to frames and back: stuffing, framing, checksums. Pure."""
