"""The rows of the outbox file: publications that wait, and dead letters. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.message import Lane, Publication


class Row(NamedTuple):
    """One publication that waits: its number, its lane, since when it waits (s, Unix time), and its content."""

    number: int
    lane: int
    since: float
    topic: str
    payload: bytes
    qos: int
    retain: int
    lifetime: float | None
    correlation: bytes
    key: bytes
    property_name: str
    property_value: str

    @staticmethod
    def of(number: int, lane: Lane, since: float, publication: Publication) -> Row:
        """Return the row of a publication."""
        p = publication
        return Row(number, lane, since, p.topic, p.payload, p.qos, p.retain, p.lifetime, p.correlation, p.key,
                   *p.user_property)  # fmt: skip

    def publication(self) -> Publication:
        """Return the publication of this row."""
        return Publication(
            self.topic,
            self.payload,
            self.qos,
            bool(self.retain),
            lane=Lane(self.lane),
            lifetime=self.lifetime,
            correlation=self.correlation,
            key=self.key,
            user_property=(self.property_name, self.property_value),
        )


class DeadLetterRow(NamedTuple):
    """One publication that no broker accepts: its number, since when it waited (s, Unix time), its content, and why.

    The file chooses the number of a row whose number is None.
    """

    number: int | None
    since: float
    topic: str
    payload: bytes
    qos: int
    retain: int
    reason: str
    property_name: str = ""
    property_value: str = ""

    def publication(self) -> Publication:
        """Return the publication of this row, as it is sent again."""
        lane = Lane.LATEST if self.retain else Lane.EVENT  # the original lane is not stored
        user_property = self.property_name, self.property_value
        return Publication(
            self.topic, self.payload, self.qos, bool(self.retain), lane=lane, user_property=user_property
        )
