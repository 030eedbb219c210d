"""Which interfaces get a message: just those that asked for it, or for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message import InternalMsg
from gateway.routing.command_index import Addresses, CommandIndex

WORDS = st.sampled_from(["a", "b", ""])
ADDRESS = st.dictionaries(st.sampled_from(["function", "gateway", "location", "device"]), WORDS)
INTERFACES = st.dictionaries(st.sampled_from("pqrst"), st.none() | st.lists(ADDRESS, max_size=3))


@given(INTERFACES, st.booleans(), WORDS, WORDS, WORDS, WORDS)
def test_an_interface_gets_a_message_if_any_of_its_addresses_fits(
    interfaces: dict[str, Addresses | None], iscmd: bool, function: str, gateway: str, location: str, device: str
) -> None:
    msg = InternalMsg(iscmd, function, gateway, location, device, "me", "ON")

    def wants(addresses: Addresses | None) -> bool:
        if addresses is None:
            return True
        return iscmd and any(all(getattr(msg, name) == word for name, word in one.items()) for one in addresses)

    result = CommandIndex(interfaces).interfaces_for(msg)
    assert sorted(result) == sorted(name for name, addresses in interfaces.items() if wants(addresses))


@pytest.mark.parametrize("msg", [InternalMsg(True, device="lamp"), InternalMsg(False, device="lamp")])
def test_an_interface_without_addresses_receives_everything(msg: InternalMsg) -> None:
    assert CommandIndex({"log": None, "lamp": []}).interfaces_for(msg) == ("log",)
