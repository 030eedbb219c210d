"""The log: how it is set up, the file it goes to, and what must never stand in it."""
