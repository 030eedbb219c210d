"""Publications that are not yet with the broker: in memory, and on disk."""
