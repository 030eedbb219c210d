"""Kills the node of a broker cluster that the gateway is on, again and again: `python -m tests.cluster --help`.

    numbered lines -> pty -> gateway, a process -> a proxy each -> three nodes -> subscriber

The cluster is RabbitMQ, with MQTT 5, or NATS, with MQTT 3.1.1. The subscriber is paho's client with a session, and
connects to another node when it loses its own. The proxies record what the nodes have acknowledged. So

    lost                read from the device, neither acknowledged by a node nor received: the gateway's loss
    lost by the broker  acknowledged by a node, and never received
    out of order        a number received after a higher one on the same topic; repetitions do not count

What is out of order may be the broker's doing: the proxies know whether the gateway has sent it so.

Of each kill, it measures how long the gateway is without a node, how long the subscriber receives nothing new, and how
long no command reaches the device. After it, the node that the gateway is on must have the documents of the gateway as
they are now, and not as they were when the gateway was connected to this node before.
"""
