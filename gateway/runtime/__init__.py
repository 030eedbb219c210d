"""The process: interfaces in their threads, reloading, signals, counters, and the answers to control requests."""
