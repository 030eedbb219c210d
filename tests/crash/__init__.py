"""Kills the gateway and the broker at random moments under load, and counts: `python -m tests.crash --help`.

    load interface -> gateway -> proxy -> Mosquitto -> witness

The load records each status that the gateway has accepted. The proxy records what the broker has acknowledged, and the
witness, which subscribes before anything is published, records what the broker has forwarded. So

    lost                accepted, and neither acknowledged nor seen after a last run that had time to drain: the
                        gateway's loss
    lost by the broker  acknowledged and never seen: the broker was killed in between

A round is the life of one gateway, ended by SIGKILL, sometimes while it starts. In some rounds the link hangs, so that
many messages wait at the end; in some the broker is killed, before the gateway or after it.

SIGKILL shows what is lost with a process. What is lost with the power is something else, namely what the kernel has
not written yet. That depends on fsync, and is shown by tests/vm.
"""
