"""What a configuration would do, without any device: how it reads a frame, and how a command is written."""
