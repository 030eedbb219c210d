"""Maps tried out, proven, explained, compared and drawn."""
