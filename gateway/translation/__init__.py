"""Translates internal messages to topics and payloads, and back. Pure."""
