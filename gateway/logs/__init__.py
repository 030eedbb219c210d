"""The log: its set-up, its file, its rate limit, and the masking of secrets."""
