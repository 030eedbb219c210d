"""Kills the gateway and the broker at random moments under load, and counts: `python -m tests.crash --help`.

    load interface -> gateway -> proxy -> Mosquitto -> witness

The load writes down each status that the gateway has accepted. The proxy writes down what the broker has
acknowledged, and the witness, which is subscribed before anything is published, what the broker has passed on. So

    lost                accepted, and neither acknowledged nor seen after a last run that had time to drain: the
                        gateway's loss
    lost by the broker  acknowledged and never seen: it was killed in between

A round is the life of one gateway, ended by SIGKILL, at times in the middle of its start. In some rounds the link
hangs, so that much waits at the end; in some the broker is killed, before the gateway or after it.

SIGKILL shows what a process loses. What the machine loses when its power fails is another matter: what the kernel has
not yet written. That depends on fsync, and is not shown here.
"""
