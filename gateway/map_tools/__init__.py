"""Tools that check, explain, compare and draw maps."""
