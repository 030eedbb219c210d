"""From bytes to frames and back: byte stuffing, framing, checksums. Pure: no input or output."""
