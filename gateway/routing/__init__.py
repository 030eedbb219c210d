"""Between interfaces and the broker: which message goes where, and which command is refused."""
