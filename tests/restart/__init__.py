"""Restarts gateway and broker in any order, and compares the documents of devices: `python -m tests.restart --help`.

    Plant (pty, a file) -> gateway, a process -> Mosquitto -> a fresh client at each look

A sequence consists of random events: the broker is killed, or stopped, and starts with or without its memory; the
gateway is killed, or stopped, and starts; it reloads a changed configuration; the port is unplugged; devices become
silent, change, and execute commands. The same seed gives the same sequence.

`Expected` is told of the same events, and knows nothing of the code of the gateway. After each group of events, a
client that connects then must find, within 10 seconds, exactly the documents that `Expected` allows. The time that the
gateway waits before it opens a missing port again, or connects again, does not count.
"""
