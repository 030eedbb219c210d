"""Helpers for the tests of interfaces. A running gateway imports nothing of this."""
