"""What is wrong with the devices of an interface: logged, limited in rate, and raised nowhere."""

from __future__ import annotations

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import MAX_UNTRUSTED_KEYS, ThrottledException, kind_of
from gateway.message import InternalMsg

LOG = package_logger("gateway.interface")  # operators look for a device among the lines of its interface


class DeviceLost(ThrottledException):
    """A device is offline though its interface works: it is silent, or does not answer."""

    logged_as = "gateway.interface"
    most_new_keys = MAX_UNTRUSTED_KEYS


class DeviceRejected(ThrottledException):
    """A message of an unknown device fits a template, but the device cannot be added."""

    logged_as = "gateway.interface"
    most_new_keys = MAX_UNTRUSTED_KEYS


class DocumentFailed(ThrottledException):
    """The state document of a device cannot be written."""

    logged_as = "gateway.interface"


def log_lost(name: str, device: str, reason: str) -> None:
    """Log that a device of the interface called `name` is offline, and why."""
    lost = DeviceLost(f"device {device!a} is offline: {reason}", key=device)
    if lost.trigger:
        LOG.warning(lost.report, extra={"interface": name})


def log_rejected(name: str, msg: InternalMsg, reason: str) -> None:
    """Log that no device is added for a message of the interface called `name`, and why."""
    # By its kind: the id is in the reason, and whoever sends on the bus chooses the id.
    text = f"{name}: no device is added for the message {msg}: {reason}"
    rejected = DeviceRejected(text, key=f"{name} {kind_of(reason)}")
    if rejected.trigger:
        LOG.warning(rejected.report)


def log_no_document(device: str, err: Exception) -> None:
    """Log that the state document of a device cannot be written because of `err`."""
    text = f"the state document of the device {device!a} cannot be written: {err!r}: correct what the interface sends"
    failed = DocumentFailed(text, key=device)
    if failed.trigger:
        LOG.error(failed.report, exc_info=err if failed.is_first else None)
