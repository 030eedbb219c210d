"""The ports of serial devices: one module for each way to reach a device; `opener` finds the right one for a URL."""
