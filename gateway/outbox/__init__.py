"""Publications that the broker has not acknowledged yet: in memory, and on disk."""
