"""The process: the interfaces that run in it, reloading, and what is looked after while it runs."""
