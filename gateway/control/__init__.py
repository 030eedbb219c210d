"""The control socket: how commands on the same machine communicate with a running gateway."""
