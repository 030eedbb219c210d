"""The link to the broker, and what goes out and comes in over it."""
