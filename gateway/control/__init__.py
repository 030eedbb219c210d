"""The control socket: how the commands on the same machine talk to a gateway that runs."""
