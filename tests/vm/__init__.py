"""Tries the service in a machine of its own (QEMU): `python -m tests.vm --help`.

It shows what neither a booted tree nor a killed process can: a USB serial adapter that is plugged in and pulled out,
with the driver of the kernel and the rules of udev, and cuts of the power.

    disk.py      a disk with a volatile cache, which loses with the power what was not flushed
    machine.py   the machine: boots, runs commands, and has a place for the adapter
    tree.sh      the image that it boots: a Debian with the gateway installed as the README says
"""
