"""The devices behind an interface: which points they have, what each reads, and whether the device is heard at all.

Everything here is pure: no I/O and no threads, and the time comes in as an argument. Whoever owns a model guards it.
"""
