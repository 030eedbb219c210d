"""Peers: the shortest programs that do the gateway's work, each run as its own process, without code of the gateway."""
