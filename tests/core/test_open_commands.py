from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.open_commands import OpenCommands
from gateway.message import InternalMsg, ReplyTo


def command(action: str, reply_to: ReplyTo | None = None) -> InternalMsg:
    return InternalMsg(True, device="lamp", action=action).answered_at(reply_to)


def test_an_answered_command_is_not_settled() -> None:
    open_commands = OpenCommands()
    for action in ("A", "B", "C"):
        open_commands.add(command(action), 1, 0.0)
    assert open_commands.answer(command("B").reply("OK"))
    assert open_commands.settle() == [command("A"), command("C")]
    assert open_commands.settle() == []


def test_a_settled_command_is_not_answered_again() -> None:
    open_commands = OpenCommands()
    open_commands.add(command("A"), 1, 0.0)
    assert open_commands.settle() == [command("A")]
    assert not open_commands.answer(command("A").reply("OK"))
    assert open_commands.answer(command("A").reply("OK")), "it is forgotten"


def test_of_two_equal_commands_the_one_with_the_same_response_topic_is_answered() -> None:
    open_commands = OpenCommands()
    first, second = command("A", ReplyTo("a/response")), command("A", ReplyTo("b/response"))
    open_commands.add(first, 1, 0.0)
    open_commands.add(second, 1, 0.0)
    assert open_commands.answer(second.reply("OK"))
    assert [msg.reply_to for msg in open_commands.settle()] == [first.reply_to]


def test_the_only_one_may_be_answered_in_other_words() -> None:
    open_commands = OpenCommands()
    open_commands.add(command("A"), 1, 0.0)
    assert open_commands.answer(InternalMsg(location="hall", device="lamp", action="B", arguments={"response": "OK"}))
    assert open_commands.settle() == []


def test_released_commands_are_forgotten() -> None:
    open_commands = OpenCommands()
    commands = [command(str(number)) for number in range(4)]
    for number, msg in enumerate(commands):
        open_commands.add(msg, 1, float(number))
    open_commands.release(commands[3])
    open_commands.release_before(1.0)
    assert open_commands.oldest() == 1.0
    assert open_commands.settle(received_before=1.5) == [command("1")]
    open_commands.release()
    assert open_commands.settle() == []
    assert open_commands.oldest() is None


def test_it_is_bounded_in_number_and_bytes() -> None:
    many, large = OpenCommands(), OpenCommands()
    for number in range(11_000):
        many.add(command(str(number)), 600, 0.0)
        large.add(command(str(number)), 1 << 20, 0.0)
    assert len(many.settle()) == 10_000
    assert len(large.settle()) == 16


@given(st.lists(st.tuples(st.sampled_from(["take", "answer", "settle"]), st.sampled_from("AB")), max_size=30))
def test_each_command_has_one_outcome(steps: list[tuple[str, str]]) -> None:
    """In whatever order they are answered: as many outcomes as commands, if each is answered by its interface."""
    open_commands, open_ones, outcomes, taken = OpenCommands(), list[str](), 0, 0
    for step, action in steps:
        if step == "take":
            open_commands.add(command(action), 1, 0.0)
            open_ones.append(action)
            taken += 1
        elif step == "answer" and action in open_ones:
            open_ones.remove(action)
            outcomes += open_commands.answer(command(action).reply("OK"))
        elif step == "settle":
            outcomes += len(open_commands.settle())
    for action in open_ones:
        outcomes += open_commands.answer(command(action).reply("OK"))
    assert outcomes == taken
    assert open_commands.settle() == []
