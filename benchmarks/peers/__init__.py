"""Peers: the shortest programs that do the gateway's work, each a process of its own, without code of the gateway."""
