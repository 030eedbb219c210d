"""The path of a message between interfaces and the broker: which one it goes to, and which command is refused."""
